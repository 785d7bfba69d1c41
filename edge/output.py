"""Results for other programs: the files behind `--json`."""

from pathlib import Path

import msgspec

from parfocal.edge.errors import ConfigError


def check_writable(path: Path | None) -> None:
    """Refuse a ``--json`` path that cannot be written, before the work whose result it is to hold.

    Raises ConfigError.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise _not_written(path, error) from error


def write_json(path: Path | None, value: object) -> None:
    """Write ``value`` where ``--json`` says; nothing for None. Raises ConfigError where it cannot be written."""
    if path is None:
        return
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"result cannot be written to {path}: {error.strerror}. Give another --json path.")
