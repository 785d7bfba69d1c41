"""A small scan on the disk, made without a microscope."""

from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Codec, ScanAbout, ScannedTile, ScanSettings, tile_name, tiles_folder
from parfocal.edge.scan.tiling.journal import about_scan

PLANNED = ((0, 0), (0, 1), (1, 1), (1, 0))


def settings(slide: str = "A1", codec: Codec = "png", plan_digest: str = "plan") -> ScanSettings:
    return ScanSettings(
        slide=slide,
        microscope=7,
        calibration=None,
        codec=codec,
        frame_px=(32, 24),
        um_per_px=0.345,
        view_angle_deg=0.0,
        view_is_mirrored=False,
        overlap_um=(2.0, 2.0),
        exposure_s=0.008,
        lamp_duty=0.6,
        objective="20x/0.75",
        model="difference-20x",
        plan_digest=plan_digest,
    )


def about(**changes: str) -> ScanAbout:
    return about_scan(settings(**changes), PLANNED, datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1")  # type: ignore[arg-type]


def tile(slide: Path, row: int, column: int, codec: Codec = "png") -> ScannedTile:
    return ScannedTile(
        row,
        column,
        9.0 * column,
        6.5 * row,
        2500.0,
        tiles_folder(slide) / tile_name(row, column, codec),
        0.25,
        0.3,
        100.0,
        True,
        False,
        0,
    )


def pixels(number: int) -> UInt8Array:
    return np.random.default_rng(number).integers(0, 255, (24, 32, 3)).astype(np.uint8)
