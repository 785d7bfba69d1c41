"""The plan of a continuous scan: how fast, in what light, how long. Made before a motor moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import msgspec

from parfocal.board.config import AxisConfig, BoardConfig
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.own.sweeping import Along, Knot
from parfocal.board.own.triggers import Flash
from parfocal.edge.camera.on_demand import frame_s
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.judging.depth import finest_um
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.rows import RUN_UP_UM, Ends, Line, Row, room_for_rows, rows_of
from parfocal.edge.scan.continuous.straight import Costs, Pace
from parfocal.edge.scan.tiling.plan import Foretold, TilePlan, plan_tiles
from parfocal.edge.tissue.area import Area

ALONGS: tuple[Along, ...] = ("x", "y")
BLUR_PX = 0.25  # how far the stage may go during a flash
LEAST_FLASH_S = 2e-6  # the wire counts whole us
COMMAND_S = 0.002  # a motion costs this on the cable: its request and the event of its end
# What a tile costs that may be taken again: the way there and the time to rest, and about two frames until one shows
# it. More if two shots must tell, but only half of the tiles that are out of focus by a little are told from the noise
# of single shots (docs/scan.md).
AGAIN_S, AGAIN_FRAMES = 0.23, 2.0
# Less than this share of the speed of the axis, and stop-and-go is no slower.
SLOW_SHARE = 0.1


class SweepPlan(msgspec.Struct, frozen=True):
    """How rows are swept.

    `limited_by`: what keeps the stage from going faster: "stage", "camera" or "light". `flash_s` and `duty` give the
    same light as an exposure of a stage at rest. `ends`: how far a sweep goes beyond its tiles. `scan_s` is the
    microscope's time for `n_rows`, on a flat slide, without what is taken again, and for `n_alone` tiles that are taken
    one by one, as too few for a row, or too near to the end of the stage. `row_change_s` is the part of it between the
    rows. `stop_s` is what a stop within a row costs, `reversal_s` what Z needs to turn round there, stop included, and
    `again_s` what a tile costs that is taken again. `trigger`: when the flash comes after its trigger. Rows lie `along`
    this axis.
    """

    speed_um_per_s: float
    limited_by: str
    flash_s: float
    duty: float
    ends: Ends
    n_rows: int
    n_alone: int
    scan_s: float
    row_change_s: float
    stop_s: float
    reversal_s: float
    again_s: float
    trigger: TriggerInUse
    along: Along = "x"

    def costs(self, z: AxisConfig) -> Costs:
        """By which the line of a row is chosen."""
        pace = Pace(self.speed_um_per_s, z.speed_um_per_s, z.accel_um_per_s2)
        return Costs(COMMAND_S, self.stop_s, self.reversal_s, self.again_s, pace)

    @property
    def flash(self) -> Flash:
        """The flash of every picture."""
        return Flash(self.trigger.delay_s, self.flash_s, self.duty)


class ForetoldSweeps(Foretold, frozen=True):
    """What a continuous scan will take. `scan_s` is that of `sweeps`; `limit_s` is that of a stage that stops."""

    sweeps: SweepPlan


def foretell_sweeps(stopping: Foretold, sweeps: SweepPlan) -> ForetoldSweeps:
    """The same tiles, swept."""
    return ForetoldSweeps(
        stopping.n_tiles, stopping.limit_s, sweeps.scan_s, stopping.tile_bytes, stopping.needed_bytes, sweeps
    )


def quicker_plan(
    area: Area,
    config: Config,
    field_um: tuple[float, float],
    overlap: float,
    plays: Sequence[PlayInUse],
    trigger: TriggerInUse | None = None,
) -> TilePlan:
    """The tiles of `area` in rows along X or along Y, whichever takes less time. Raises ConfigError as `sweep_plan`.

    The long side of the picture across the rows makes fewer of them.
    """
    plans = [plan_tiles(area, config, field_um, overlap, along) for along in ALONGS]
    return min(plans, key=lambda plan: sweep_plan(plan, config, plays, trigger).scan_s)


def ahead_um_of(flash: Flash, speed_um_per_s: float, um_per_step: float) -> float:
    """How far an axis goes on from a trigger to the middle of its flash, um: there the picture shows it.

    A trigger comes with a step of the motor, and the stage stays there until the next one.
    """
    # Not by the time alone: that would be half a step too far, on average, to the other side in every other row.
    return math.floor(flash.middle_s * speed_um_per_s / um_per_step) * um_per_step


def flash_like_rest(config: Config, trigger: TriggerInUse | None) -> Flash | None:
    """The shortest flash that gives a picture the light of one at rest, within the exposure of all lines.

    None where it was not measured when that is (`parfocal calibrate trigger`), or where the flash does not fit in.
    """
    if trigger is None or trigger.room_s is None:
        return None
    needed_s = _light_s(config)
    width_s = max(math.ceil(round(1e6 * needed_s, 6)), round(1e6 * LEAST_FLASH_S)) / 1e6
    return Flash(trigger.delay_s, width_s, needed_s / width_s) if width_s <= trigger.room_s else None


def _light_s(config: Config) -> float:
    """Light of one exposure at rest, in seconds of a flash at full duty."""
    return config.camera.exposure_s * config.scan.lamp_duty / config.scan.flash_brightness


def blur_um_of(config: Config) -> float:
    """How far the stage may go during a flash, um.

    A quarter of a pixel; where the camera has smaller ones, of the largest that shows all that the objective does.
    Either way the finest detail of the picture keeps 97 % of its contrast.
    """
    return BLUR_PX * max(config.camera.um_per_px, finest_um(config.focus.objective) / 2.0)


def sweep_plan(
    plan: TilePlan, config: Config, plays: Sequence[PlayInUse], trigger: TriggerInUse | None = None
) -> SweepPlan:
    """The speed that stage, camera and light allow, and the time.

    `trigger`: when the lamp flashes after a trigger, None for as configured.
    Raises ConfigError if the play of an axis is not measured, if the lamp is too dark, or if the lines of the camera
    do not all expose for long enough.
    """
    _check_plays(plays)
    trigger = trigger or TriggerInUse(config.scan.flash_delay_s)
    camera, scan, axis = config.camera, config.scan, config.board.axis(plan.along)
    blur_um = blur_um_of(config)
    needed_s = _light_s(config)
    limits = {
        "stage": axis.speed_um_per_s,
        "camera": plan.pitch_um[0 if plan.along == "x" else 1] / frame_s(camera),
        "light": blur_um / max(needed_s, LEAST_FLASH_S),
    }
    limited_by = min(limits, key=lambda name: limits[name])
    speed_um_per_s = limits[limited_by]
    if speed_um_per_s < SLOW_SHARE * axis.speed_um_per_s:
        _refuse(limited_by, speed_um_per_s, scan.flash_brightness, needed_s, blur_um, axis)
    flash_s = max(min(blur_um / speed_um_per_s, 0.1), LEAST_FLASH_S)
    if trigger.room_s is not None and flash_s > trigger.room_s:
        flash_s = _fitted(trigger.room_s, needed_s)
    flash_s = max(round(flash_s * 1e6), 1) / 1e6
    run_up_um = speed_um_per_s**2 / (2.0 * axis.accel_um_per_s2) + RUN_UP_UM
    # A little farther beyond than before, so that the next row is engaged the other way by one straight move.
    ends = Ends(run_up_um, run_up_um + max(2.0, 0.1 * axis.play_um) + 2.0 * axis.um_per_step)
    room_um = room_for_rows((axis.min_um, axis.highest_um), axis, ends)
    rows, alone = rows_of(plan.tiles, plan.along, room_um)
    stop_s = COMMAND_S + speed_um_per_s / axis.accel_um_per_s2
    made = SweepPlan(
        speed_um_per_s,
        limited_by,
        flash_s,
        min(needed_s / flash_s, 1.0),
        ends,
        len(rows),
        len(alone),
        0.0,
        0.0,
        stop_s,
        stop_s + COMMAND_S + reversal_s(config.board.z),
        AGAIN_S + AGAIN_FRAMES * frame_s(camera),
        trigger,
        plan.along,
    )
    swept_s = sum(line_s(flat(row, ends), made, config.board) for row in rows)
    change_s = sum(
        row_change_s(flat(a, ends), flat(b, ends), b.across_um - a.across_um, made, config.board)
        for a, b in itertools.pairwise(rows)
    )
    scan_s = swept_s + change_s + len(alone) * made.again_s
    return msgspec.structs.replace(made, scan_s=scan_s, row_change_s=change_s)


def line_s(line: Line, plan: SweepPlan, board: BoardConfig) -> float:
    """The time of one sweep, s: its sections, with a stop between two of them, and what Z needs to turn round."""
    at_um, total_s = line.begin_um, line.n_reversals * (COMMAND_S + reversal_s(board.z))
    for section in line.sections:
        total_s += len(section.knots) * COMMAND_S
        total_s += _move_s(board.axis(plan.along), abs(section.to_um - at_um), plan.speed_um_per_s)
        at_um = section.to_um
    return total_s


def reversal_s(z: AxisConfig) -> float:
    """What it costs to engage Z the other way, s."""
    over_um = max(2.0, 0.1 * z.play_um) if z.play_um else 0.0
    return _move_s(z, over_um, z.speed_um_per_s) + _move_s(z, z.play_um + over_um, z.speed_um_per_s)


def row_change_s(before: Line, after: Line, across_um: float, plan: SweepPlan, board: BoardConfig) -> float:
    """The time from the end of one sweep to the begin of the next, s.

    Axes move at once, and the axis across must come to rest before the first flash, for which the other one needs the
    time to speed up.
    """
    axis, other = board.axis(plan.along), board.axis("y" if plan.along == "x" else "x")
    along_um = abs(after.begin_um - before.end_um) + axis.play_um
    moved_s = max(
        _move_s(axis, along_um, axis.speed_um_per_s), _move_s(other, abs(across_um), other.speed_um_per_s)
    )
    ramp_s = plan.speed_um_per_s / axis.accel_um_per_s2
    return 2.0 * COMMAND_S + moved_s + max(0.0, other.settle_s - ramp_s)


def flat(row: Row, ends: Ends) -> Line:
    """The way over a row of a flat slide."""
    first_um, last_um = row.along_um(row.tiles[0]), row.along_um(row.tiles[-1])
    return Line(
        first_um - row.way * ends.before_um,
        last_um + row.way * ends.beyond_um,
        (Knot(first_um, 0.0), Knot(last_um, 0.0)),
    )


def _fitted(room_s: float, needed_s: float) -> float:
    """A flash that lies in the exposure of all lines, s. Raises ConfigError if it gives too little light."""
    if needed_s > room_s or room_s < LEAST_FLASH_S:
        raise ConfigError(
            f"all lines of the camera expose together for {1e3 * room_s:.2g} ms, and --continuous needs a flash of "
            f"{1e3 * needed_s:.2g} ms; nothing moved. Use a brighter flash (scan.flash_brightness), a longer "
            "camera.exposure_s, or leave out --continuous."
        )
    return math.floor(room_s * 1e6) / 1e6


def _check_plays(plays: Sequence[PlayInUse]) -> None:
    measured = {play.axis for play in plays if play.uncertainty_um is not None}
    missing = [name for name in ("x", "y", "z") if name not in measured]
    if missing:
        raise ConfigError(
            f"a continuous scan moves both ways, but the play of {', '.join(missing)} was not measured; nothing moved. "
            "Run `parfocal calibrate backlash`, or leave out --continuous."
        )


def _refuse(
    limited_by: str,
    speed_um_per_s: float,
    flash_brightness: float,
    needed_s: float,
    blur_um: float,
    axis: AxisConfig,
) -> None:
    if limited_by == "light":
        enough = flash_brightness * needed_s * SLOW_SHARE * axis.speed_um_per_s / blur_um
        raise ConfigError(
            f"the lamp is too dark for --continuous: at scan.flash_brightness = {flash_brightness:g} the stage may go "
            f"{speed_um_per_s / 1000.0:.2g} mm/s for {blur_um:.2g} um of blur; nothing moved. Use a brighter flash "
            f"({math.ceil(enough):d} or more), or leave out --continuous."
        )
    raise ConfigError(
        f"the {limited_by} allows {speed_um_per_s / 1000.0:.2g} mm/s only, which is no faster than stop-and-go; "
        "nothing moved. Leave out --continuous."
    )


def _move_s(axis: AxisConfig, distance_um: float, speed_um_per_s: float) -> float:
    scale = axis.um_per_step
    steps = round(distance_um / scale)
    return Trapezoid(steps, speed_um_per_s / scale, axis.accel_um_per_s2 / scale).duration_s
