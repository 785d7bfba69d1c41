"""The seam of the lamp: what a board must do to light a sample."""

from __future__ import annotations

from typing import Protocol


class Lamp(Protocol):
    """A lamp that can be dimmed."""

    def __call__(self, duty: float, on_time_s: float | None = None) -> None:
        """Set the lamp to `duty`, 0 (dark) to 1.

        `on_time_s`: the lamp goes dark by itself after this time; None leaves it on.
        Raises ValueError (nothing was sent), LinkTimeout, BoardError when refused.
        """
        ...
