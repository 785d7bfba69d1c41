"""matplotlib, which only the pictures need."""

import logging

from parfocal.edge.errors import ConfigError


def import_matplotlib(needed_by: str) -> None:
    """Import matplotlib without its warnings. Raises ConfigError, naming what needs it, if it is not installed."""
    # It warns where it finds no folder for its cache (no HOME), although it then makes a temporary one by itself.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib  # noqa: F401, ICN001  # only to see whether it is there
    except ImportError as error:
        raise ConfigError(
            f"{needed_by} needs {error.name}, which is not installed: `pip install 'parfocal[demo]'`"
        ) from error
