"""The plan of a scan: which tiles, in which order, how long, how much space. Made and checked before a motor moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.config import AxisConfig
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.own.sweeping import Along
from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.scan.grid import check_room
from parfocal.edge.scan.plan import MAX_FIELDS
from parfocal.edge.scan.tiles import Codec
from parfocal.edge.tissue.area import Area
from parfocal.edge.whole_file import free_bytes
from parfocal.edge.words import counted, named, sized

UNMEASURED_OVERLAP = 0.10
STRAIGHT_DEG = 0.5  # the overlap of straight tiles covers so small a turn
SHARED_PX = 48  # what neighbours share at least, whatever the stage does: enough to register them
N_SAMPLES = (
    8  # a side: a tile belongs to the area if one of these places does, or if the outline crosses the tile
)
# Room on the disk for the tiles, for the slide that is stitched from them (at most 1.4 times as large), and a tenth.
ROOM_SHARE = 1.1 * (1.0 + 1.4)

MoveTime = Callable[[float], float]


class PlannedTile(msgspec.Struct, frozen=True):
    """One tile: its place in the grid, and its centre on the stage."""

    row: int
    column: int
    x_um: float
    y_um: float

    @property
    def place_um(self) -> tuple[float, float]:
        """X and Y of its centre, um."""
        return self.x_um, self.y_um


class TilePlan(msgspec.Struct, frozen=True):
    """The tiles in the order of the visit.

    `overlap_um`: what neighbours have in common in X and Y. `n_left_out`: tiles of the grid outside of the area.
    `along`: the axis along which neighbours follow each other.
    """

    tiles: tuple[PlannedTile, ...]
    pitch_um: tuple[float, float]
    overlap_um: tuple[float, float]
    n_left_out: int
    along: Along = "x"

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Row and column of each tile."""
        return tuple((tile.row, tile.column) for tile in self.tiles)


class Foretold(msgspec.Struct, frozen=True):
    """What a scan will take: seconds of the microscope's time without focusing anew, and bytes on the disk.

    `limit_s` is the least that this stage and camera allow: X/Y travel, settling, waiting for a frame, exposure.
    """

    n_tiles: int
    limit_s: float
    scan_s: float
    tile_bytes: int
    needed_bytes: int


def plan_tiles(
    area: Area, config: Config, field_um: tuple[float, float], overlap: float, along: Along = "x"
) -> TilePlan:
    """Tiles that cover `area`, along a snake: every other row backwards; or every other column, `along` Y.

    The grid covers the bounds of the area, centred on it. A tile that does not touch the area is left out. `overlap` is
    the share of a field that neighbours have in common.

    Raises ConfigError if a tile lies outside the limits, run-up included, or if there are none or too many.
    """
    x0_um, y0_um, x1_um, y1_um = area.bounds_um
    pitch_um = (field_um[0] * (1.0 - overlap), field_um[1] * (1.0 - overlap))
    xs_um = _centres(x0_um, x1_um, field_um[0], pitch_um[0])
    ys_um = _centres(y0_um, y1_um, field_um[1], pitch_um[1])
    if len(xs_um) * len(ys_um) > MAX_FIELDS:
        raise ConfigError(
            f"{len(xs_um)} x {len(ys_um)} tiles are too many: {MAX_FIELDS} or fewer can be scanned; nothing moved. "
            "Give a smaller --region."
        )
    touched = np.array([_touches(area, xs_um, float(y_um), field_um) for y_um in ys_um])
    places: list[tuple[int, int]] = []  # row and column
    for line, found_in in enumerate(touched if along == "x" else touched.T):
        found = [(line, int(k)) if along == "x" else (int(k), line) for k in np.flatnonzero(found_in)]
        # Each row begins at the end that is nearer: rows of tissue end where they like.
        if found and places and _apart(found[-1], places[-1]) < _apart(found[0], places[-1]):
            found.reverse()
        places += found
    # Tenths of a um: a stage does no better, and files stay legible.
    tiles = [PlannedTile(i, k, round(float(xs_um[k]), 1), round(float(ys_um[i]), 1)) for i, k in places]
    if not tiles:
        raise ConfigError("the area holds no tile; nothing moved. Give a larger --region or --mask.")
    for name in ("x", "y"):
        at_um = [getattr(tile, f"{name}_um") for tile in tiles]
        check_room(min(at_um), max(at_um), name, config.board.axis(name))
    return TilePlan(
        tuple(tiles),
        pitch_um,
        (field_um[0] * overlap, field_um[1] * overlap),
        len(xs_um) * len(ys_um) - len(tiles),
        along,
    )


def _apart(place: tuple[int, int], other: tuple[int, int]) -> int:
    return abs(place[0] - other[0]) + abs(place[1] - other[1])


def overlap_for(plays: Sequence[PlayInUse], config: Config, field_um: tuple[float, float]) -> float:
    """The overlap that this stage needs, as a share of a field: from its measured play, else 10 %.

    Neighbours keep `SHARED_PX` in common if both axes err by what is not known of their play, by their screw, their
    swing and a step.
    """
    needed = 0.0
    measured = {play.axis: play.uncertainty_um for play in plays}
    for name, side_um in zip(("x", "y"), field_um, strict=True):
        uncertainty_um, axis = measured.get(name), config.board.axis(name)
        if uncertainty_um is None:
            return UNMEASURED_OVERLAP
        error_um = uncertainty_um + axis.screw_error_um + axis.swing_um + axis.um_per_step
        needed = max(needed, (SHARED_PX * config.camera.um_per_px + 2.0 * error_um) / side_um)
    return min(needed, 0.5)


def foretell(
    plan: TilePlan,
    config: Config,
    codec_share: float,
    plays: Sequence[PlayInUse] = (),
    is_triggered: bool = False,
) -> Foretold:
    """Time and space of a plan. `codec_share`: the size of a file over that of its pixels.

    X and Y arrive by the shortest way where the play of both is among `plays`, with its uncertainty. `is_triggered`:
    the board triggers the camera.
    """
    board, camera = config.board, config.camera
    # The mean wait for a frame of a free-running camera.
    wait_s = 0.0 if is_triggered else camera.frame_period_s / 2.0
    frame_s = camera.exposure_s + wait_s
    settle_s = max(board.x.settle_s, board.y.settle_s)
    travel_s = _travel_s(plan.tiles, _straight(board.x), _straight(board.y))
    measured = {play.axis for play in plays if play.uncertainty_um is not None}
    way = _straight if {"x", "y"} <= measured else _from_below
    approach_s = _travel_s(plan.tiles, way(board.x), way(board.y))
    n_tiles = len(plan.tiles)
    # The height changes by a few steps up or down: half of the tiles need the run-up of Z.
    run_up_s = 0.5 * _straight(board.z)(board.z.play_um) * n_tiles
    tile_bytes = round(camera.width_px * camera.height_px * 3 * codec_share)
    return Foretold(
        n_tiles,
        travel_s + n_tiles * (settle_s + frame_s),
        approach_s + run_up_s + n_tiles * (settle_s + frame_s),
        tile_bytes,
        round(ROOM_SHARE * n_tiles * tile_bytes),
    )


def check_disk(foretold: Foretold, n_left: int, folder: Path) -> None:
    """Refuse a scan that the disk has no room for; `n_left` tiles are still to be written. Raises ConfigError."""
    needed = foretold.needed_bytes - (foretold.n_tiles - n_left) * foretold.tile_bytes
    free = free_bytes(folder)
    if needed > free:
        raise ConfigError(
            f"the scan of {counted(foretold.n_tiles, 'tile')} needs {sized(needed)}, but {named(folder)} has "
            f"{sized(free)} free; nothing moved. Make room, give another --out or --codec, or a smaller --region."
        )


def field_of(camera: CameraConfig, um_per_px: float, angle_deg: float = 0.0) -> tuple[float, float]:
    """How far a tile reaches along X and Y, um, by the pixel and the angle of the camera that are in use.

    Of a turned camera: the largest part of its frame, of the same proportions, that lies along the axes. Tiles of that
    size leave no gap.
    """
    width_um, height_um = camera.width_px * um_per_px, camera.height_px * um_per_px
    quarters = round(angle_deg / 90.0)
    if quarters % 2:
        width_um, height_um = height_um, width_um
    rest = math.radians(abs(angle_deg - 90.0 * quarters))
    if rest < math.radians(STRAIGHT_DEG):
        return width_um, height_um
    cosine, sine = math.cos(rest), math.sin(rest)
    share = min(
        width_um / (width_um * cosine + height_um * sine), height_um / (width_um * sine + height_um * cosine)
    )
    return share * width_um, share * height_um


def checked_codec(name: str) -> Codec:
    """The codec of that name. Raises ConfigError."""
    known: tuple[Codec, ...] = ("png", "jpg", "webp")
    for codec in known:
        if name == codec:
            return codec
    raise ConfigError(f"--codec {name} is not known: give {', '.join(known)}")


def _centres(low_um: float, high_um: float, side_um: float, pitch_um: float) -> NDArray[np.float64]:
    """Centres of tiles that cover `low_um` to `high_um`, centred on it."""
    n = 1 + max(0, math.ceil((high_um - low_um - side_um) / pitch_um - 1e-6))
    if not n <= MAX_FIELDS:
        raise ConfigError(f"{n} tiles in a row are too many; nothing moved. Give a smaller --region.")
    return np.asarray((low_um + high_um) / 2.0 + (np.arange(n) - (n - 1) / 2.0) * pitch_um, np.float64)


def _touches(
    area: Area, xs_um: NDArray[np.float64], y_um: float, field_um: tuple[float, float]
) -> NDArray[np.bool_]:
    """Which tiles of one row touch the area, (n_columns,): a sample lies in it, or its outline in them."""
    inside = (np.arange(N_SAMPLES) + 0.5) / N_SAMPLES - 0.5
    sample_x_um = (xs_um[:, None] + inside * field_um[0])[:, None, :]
    sample_y_um = (y_um + inside * field_um[1])[None, :, None]
    touched = area.contains(sample_x_um, sample_y_um).any(axis=(1, 2))
    outline_um = area.outline_um(min(field_um) / N_SAMPLES)
    near = outline_um[np.abs(outline_um[:, 1] - y_um) < field_um[1] / 2.0, 0]
    touched |= (np.abs(xs_um[:, None] - near) < field_um[0] / 2.0).any(axis=1)
    return np.asarray(touched, bool)


def _travel_s(tiles: Sequence[PlannedTile], along_x: MoveTime, along_y: MoveTime) -> float:
    """Time on the way from the first tile to the last; X and Y move at the same time."""
    return sum(
        max(along_x(after.x_um - before.x_um), along_y(after.y_um - before.y_um))
        for before, after in itertools.pairwise(tiles)
    )


def _straight(axis: AxisConfig) -> MoveTime:
    """The time of a move straight to its target, s, by its length, um."""

    def duration_s(distance_um: float) -> float:
        scale = axis.um_per_step
        steps = round(abs(distance_um) / scale)
        return Trapezoid(steps, axis.speed_um_per_s / scale, axis.accel_um_per_s2 / scale).duration_s

    return duration_s


def _from_below(axis: AxisConfig) -> MoveTime:
    """The time of a move that ends upwards: backwards, it goes farther by the play and comes back."""
    straight_s = _straight(axis)
    run_up_um = axis.play_um + max(2.0, 0.1 * axis.play_um) if axis.play_um else 0.0
    return lambda distance_um: (
        straight_s(distance_um)
        if distance_um >= 0.0
        else straight_s(distance_um - run_up_um) + straight_s(run_up_um)
    )
