"""Errors of the instrument, sorted by what the caller does next."""


class EdgeError(Exception):
    """Root of every error that leaves `parfocal.edge`."""


class ConfigError(EdgeError):
    """Invalid configuration or argument. Correct it; nothing moved."""


class CameraFailed(EdgeError):
    """The camera is missing or has stopped. Plug it in, or configure another one."""
