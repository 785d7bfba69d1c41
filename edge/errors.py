"""Errors of the instrument, sorted by what the caller does next."""

from typing import Any


class EdgeError(Exception):
    """Root of every error that leaves `parfocal.edge`."""


class ConfigError(EdgeError):
    """The configuration or an argument cannot be. Correct it; nothing was moved."""


class CameraFailed(EdgeError):
    """The camera is not there or has stopped. Plug it in, or name another one."""


class FocusLost(EdgeError):
    """No focus was found in a field. The stage is back at the last good height; `trace` tells what was tried."""

    def __init__(self, message: str, trace: tuple[Any, ...] = ()) -> None:
        """`trace`: the attempts, as in the report of the field."""
        super().__init__(message)
        self.trace = trace
