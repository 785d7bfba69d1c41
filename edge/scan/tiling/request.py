"""What the user asked of a scan, kept beside its journal for a session that goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.tiles import Codec, journal_path, scan_folder
from parfocal.edge.scan.tiling.plan import TilePlan
from parfocal.edge.scan.tiling.writer import write_whole
from parfocal.edge.words import named


class Request(msgspec.Struct, frozen=True):
    """What the user asked for, kept beside the journal for a scan that is continued.

    `lamp_off_between`, `composite` and `z_stack` as in `Ways`.
    """

    slide: str
    codec: Codec
    plan: TilePlan
    continuous: bool = False
    lamp_off_between: bool = False
    composite: bool = False
    z_stack: bool = False


def keep_request(slide: Path, request: Request) -> None:
    """Keep it, before the journal: a scan that is ended between both can be continued. Raises OSError."""
    path = scan_folder(slide) / "request.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.encode(request))


def kept_request(slide: Path) -> Request:
    """The request of a scan that was begun. Raises ConfigError if there is none."""
    path = scan_folder(slide) / "request.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Request)
    except (OSError, msgspec.MsgspecError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"no scan to continue in {named(slide)}: {named(path)}: {why}; nothing moved. Leave out --resume to begin "
            "one."
        ) from error


def check_new(slide: Path) -> None:
    """Refuse a folder that holds a scan, or anything else. Raises ConfigError."""
    if journal_path(slide).exists():
        raise ConfigError(
            f"{named(slide)} holds a scan already; nothing moved. Go on with it by --resume, or give another --out."
        )
    if slide.exists() and (not slide.is_dir() or any(slide.iterdir())):
        raise ConfigError(f"{named(slide)} is in the way; nothing moved. Give another --out.")
