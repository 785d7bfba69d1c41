"""The report of a scan: the struct behind `--json`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.calib.value import UsedCalibration
from parfocal.edge.scan.survey import SurfaceReport
from parfocal.edge.scan.tiles import ScannedTile
from parfocal.edge.scan.tiling.plan import Foretold
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.watch import Due


class ScanReport(msgspec.Struct, frozen=True):
    """A scan, or a session of one.

    `planned` tiles, of which `finished` are on the disk; `taken` of them in this session. `tissue`, `retaken`,
    `refocused` and `uneven` count finished tiles. `elapsed_s` and `s_per_tile` are the microscope's time of this
    session, without its survey; `limit_s` is the least that stage and camera allow for all tiles. The errors are those
    of the tissue tiles of this session; None on a real microscope. `offset_um`: where the slide lies now, less where it
    lay in the first session. `due`: the calibrations that the pictures of this session contradict.
    """

    out: str
    planned: int
    finished: int
    taken: int
    tissue: int
    retaken: int
    refocused: int
    uneven: int
    elapsed_s: float
    s_per_tile: float | None
    limit_s: float
    survey_s: float
    surface: SurfaceReport | None
    mean_abs_error_um: float | None = None
    p95_abs_error_um: float | None = None
    within_depth_of_field: float | None = None
    offset_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    calibration: UsedCalibration | None = None
    due: tuple[Due, ...] = ()


class SessionFigures(msgspec.Struct, frozen=True):
    """What a session adds to the tiles: its times, its surface and offset, and what is due by its pictures."""

    elapsed_s: float
    survey_s: float
    surface: SurfaceReport | None
    offset_um: tuple[float, float, float]
    calibration: UsedCalibration | None
    due: tuple[Due, ...] = ()


def scan_report(
    out: str,
    foretold: Foretold,
    before: Sequence[ScannedTile],
    taken: Sequence[TileDone],
    session: SessionFigures,
    depth_um: float,
) -> ScanReport:
    """Sum up a session that took tiles after those `before`. `depth_um`: the depth of field."""
    tiles = [*before, *(done.tile for done in taken)]
    errors = np.array(
        [abs(d.error_um) for d in taken if d.error_um is not None and d.tile.tissue and not d.tile.uneven]
    )
    return ScanReport(
        out=out,
        planned=foretold.n_tiles,
        finished=len(tiles),
        taken=len(taken),
        tissue=sum(tile.tissue for tile in tiles),
        retaken=sum(tile.retaken > 0 for tile in tiles),
        refocused=sum(tile.reason is not None for tile in tiles),
        uneven=sum(tile.uneven for tile in tiles),
        elapsed_s=session.elapsed_s,
        s_per_tile=session.elapsed_s / len(taken) if taken else None,
        limit_s=foretold.limit_s,
        survey_s=session.survey_s,
        surface=session.surface,
        mean_abs_error_um=float(errors.mean()) if len(errors) else None,
        p95_abs_error_um=float(np.percentile(errors, 95)) if len(errors) else None,
        within_depth_of_field=float((errors <= depth_um).mean()) if len(errors) else None,
        offset_um=session.offset_um,
        calibration=session.calibration,
        due=session.due,
    )
