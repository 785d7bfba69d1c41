"""Importing matplotlib, which only pictures need."""

import logging

from parfocal.edge.errors import ConfigError


def import_matplotlib(needed_by: str) -> None:
    """Import matplotlib without its warnings. Raises ConfigError, naming what needs it, if it is not installed."""
    # Without a writable home it warns that its cache is in a temporary folder, which is fine here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib  # noqa: F401, ICN001  # only to check that it is installed
    except ImportError as error:
        raise ConfigError(
            f"{needed_by} needs {error.name}, which is not installed: `pip install 'parfocal[demo]'`"
        ) from error
