"""The seam under the link: something that moves bytes."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """Bytes to and from one board. `write` and `read` may be called from different threads."""

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises BoardNotFound when the board is gone."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """Bytes received, at least one, or b"" when `timeout_s` of wall time passes without any.

        Raises BoardNotFound when the board is gone.
        """
        ...

    def close(self) -> None:
        """Release the port. Idempotent."""
        ...
