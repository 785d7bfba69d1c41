"""Draws random fields with tissue and writes them for a reviewer who must not know the slide."""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.chunks import jpeg_of
from parfocal.edge.scan.tiles import Scan, ScannedTile, scan_folder
from parfocal.edge.slide.review.page import review_html
from parfocal.edge.slide.review.sheet import column_of, empty_sheet
from parfocal.edge.slide.tiles import tile_pixels
from parfocal.edge.whole_file import whole_files
from parfocal.edge.words import counted, named

PICTURE_QUALITY = 95
KEYS = "reviews"  # beside the journal: who has the slide can tell what a code stands for


class ReviewKey(msgspec.Struct, frozen=True):
    """What a review stands for. It stays with the slide; `tiles` are rows and columns in the order of the fields."""

    review: str
    slide: str
    method: str
    seed: int
    tiles: tuple[tuple[int, int], ...]


class ReviewReport(msgspec.Struct, frozen=True):
    """What was written: `folder` for the reviewer, `key` beside the slide."""

    review: str
    folder: str
    key: str
    fields: int
    fields_with_tissue: int
    seed: int


def drawn_tiles(scan: Scan, n_fields: int, seed: int) -> tuple[ScannedTile, ...]:
    """Random tiles with tissue in random order, the same for the same seed. Raises ConfigError."""
    with_tissue = sorted(
        (tile for tile in scan.tiles if tile.tissue), key=lambda tile: (tile.row, tile.column)
    )
    if not with_tissue:
        raise ConfigError(
            f"{named(scan.folder)} has no tile with tissue: there is no field to draw. "
            f"{'Give another slide.' if scan.is_complete else 'Finish its scan first.'}"
        )
    if len(with_tissue) < n_fields:
        raise ConfigError(
            f"{counted(n_fields, 'field')} asked for, but {named(scan.folder)} has "
            f"{counted(len(with_tissue), 'tile')} with tissue. Give a smaller --fields."
        )
    # Python's generator, as its draws stay the same from version to version.
    return tuple(random.Random(seed).sample(with_tissue, n_fields))  # noqa: S311  # not for secrets


def review_code(scan: Scan, tiles: Sequence[ScannedTile], seed: int, findings: Sequence[str]) -> str:
    """A code that says nothing of the slide, and is the same for the same draw of the same pictures and columns."""
    about = [scan.settings.slide, scan.about.settings_digest, str(scan.about.began_at), str(seed)]
    # A scan that went on has other fields for the same seed; a sheet would be put down to the wrong ones.
    about += [f"{tile.row},{tile.column},{tile.digest}" for tile in tiles]
    about += [column_of(finding) for finding in findings]
    return f"R-{hashlib.blake2b('|'.join(about).encode(), digest_size=4).hexdigest().upper()}"


def write_review(
    scan: Scan,
    n_fields: int,
    seed: int,
    out: Path | None,
    findings: Sequence[str],
    on_field: Callable[[int], None] = lambda _: None,
) -> ReviewReport:
    """Write pictures, sheet and page of a review to a folder, and its key into the slide.

    Without `out` the folder has the name of the code, and lies beside the slide. One that holds anything but this very
    review, not filled in, is refused. If this fails, nothing is left behind. Raises ConfigError, TileDamaged, OSError.
    """
    names = [column_of(finding) for finding in findings]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError("--finding needs names that differ, of letters and digits. Give others.")
    tiles = drawn_tiles(scan, n_fields, seed)
    code = review_code(scan, tiles, seed, findings)
    folder = out or scan.folder.resolve().parent / code
    sheet = {"sheet.csv": empty_sheet(code, n_fields, findings).encode()}
    names_of_pictures = [f"field-{number:02d}.jpg" for number in range(1, n_fields + 1)]
    # Before the work, as far as it can be told: a sheet that was filled in is the usual case.
    _check_folder(folder, {**dict.fromkeys([*names_of_pictures, "review.html"]), **sheet})
    pictures = []
    for number, tile in enumerate(tiles, start=1):
        pictures.append(jpeg_of(tile_pixels(scan, tile), PICTURE_QUALITY))
        on_field(number)
    page = review_html(code, pictures, findings, scan.um_per_px).encode()
    files = {**dict(zip(names_of_pictures, pictures, strict=True)), **sheet, "review.html": page}
    _check_folder(folder, files)
    key = ReviewKey(
        code,
        scan.settings.slide or scan.folder.resolve().stem,
        f"automated {scan.settings.objective}",
        seed,
        tuple((tile.row, tile.column) for tile in tiles),
    )
    key_path = scan_folder(scan.folder) / KEYS / f"{code}.json"
    key_json = msgspec.json.format(msgspec.json.encode(key), indent=1) + b"\n"
    whole_files({**{folder / name: data for name, data in files.items()}, key_path: key_json})
    n_with_tissue = sum(tile.tissue for tile in scan.tiles)
    return ReviewReport(code, named(folder), named(key_path), n_fields, n_with_tissue, seed)


def find_key(slides: Sequence[Path], review: str) -> ReviewKey:
    """The key of a review in one of these slides. Raises ConfigError."""
    paths = [scan_folder(slide) / KEYS / f"{review}.json" for slide in slides]
    for path in paths:
        if path.is_file():
            return _read_key(path)
    among = ", ".join(named(slide) for slide in slides) or "none was given"
    raise ConfigError(
        f"review {review} was not drawn from any of the slides ({among}). Give its slide with --slide."
    )


def _read_key(path: Path) -> ReviewKey:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ReviewKey)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"key {named(path)} cannot be read: {error}. Draw the review again, with the same seed."
        ) from error


def _check_folder(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Refuse a folder that holds anything but `files`; None stands for any content. Raises ConfigError, OSError.

    So a killed command can be given again, and no sheet that was filled in is lost.
    """
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        name, is_part = path.name.removesuffix(".part"), path.name.endswith(".part")
        is_own = name in files and path.is_file()
        if not is_own or not (is_part or files[name] in (None, path.read_bytes())):
            why = "was filled in or is of another review" if is_own else "is not of this review"
            raise ConfigError(
                f"{named(folder)} holds {named(Path(path.name))}, which {why}; nothing was written. Give another --out."
            )
