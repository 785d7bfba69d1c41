"""Rows and their straight parts, and what a sweep costs: pure tables."""

import itertools
import math
from collections.abc import Callable
from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest

from parfocal.board.motion.profile import Trapezoid
from parfocal.board.own.sweeping import Knot
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.errors import ConfigError
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.plan import blur_um_of, line_s, quicker_plan, sweep_plan
from parfocal.edge.scan.continuous.rows import (
    Ends,
    Line,
    Row,
    line_of,
    nearest_first,
    nearest_run,
    rows_of,
    runs_of,
)
from parfocal.edge.scan.continuous.straight import Costs, Pace
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.plan import PlannedTile, TilePlan, field_of, plan_tiles
from parfocal.edge.tissue.area import rectangle
from tests.edge.scope import with_scan

DEPTH_UM, STEP_UM = 0.96, 0.3125
PACE = Pace(6000.0, 1000.0, 25000.0)
COSTS = Costs(part_s=0.002, stop_s=0.08, reversal_s=0.16, again_s=0.3, pace=PACE)
SLOW = Costs(part_s=0.002, stop_s=0.02, reversal_s=0.1, again_s=0.43, pace=PACE)
Height = Callable[[float, float], float]
PLAYS = tuple(PlayInUse(name, 60.0, 0.3) for name in ("x", "y", "z"))
BRIGHT = config_from_toml("[scan]\nflash_brightness = 340.0\n", "the test")


def row(n: int = 38, way: int = 1) -> Row:
    tiles = tuple(PlannedTile(0, k, 400.0 * k, 0.0) for k in range(n))
    return Row(tiles[::way], way)


def swept_line(swept: Row, height_um: Height, flat_um: Height | None = None, costs: Costs = COSTS) -> Line:
    """The line over a row. `flat_um`: without a fold; what lies apart from it is expected as by `Heights`."""

    def expected(x_um: float, y_um: float) -> Expected:
        z_um = height_um(x_um, y_um)
        above_um = 0.0 if flat_um is None else abs(z_um - flat_um(x_um, y_um))
        beyond_um = flat_um(x_um, y_um) if flat_um is not None and above_um else None
        return Expected(z_um, max(0.15, 0.5 * above_um), beyond_um)

    return line_of(swept, expected, Ends(250.0, 260.0), costs, DEPTH_UM, STEP_UM)


def whole(config: Config = BRIGHT) -> TilePlan:
    """15 x 15 mm."""
    field_um = field_of(config.camera, config.camera.um_per_px)
    return plan_tiles(rectangle(20_000.0, 5_000.0, 35_000.0, 20_000.0), config, field_um, 0.05)


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize(
    ("height_um", "n_stops"),
    [
        (lambda _x, _y: 2500.0, 0),
        (lambda x, _y: 2500.0 + 0.002 * x, 0),  # a tilt of 30 um over 15 mm
        (lambda x, _y: 2500.0 + 0.05e-6 * (x - 7500.0) ** 2, 1),  # a bend of 2.8 um, down and up again
        (lambda x, _y: 2500.0 + 0.05e-6 * (x - 7500.0) ** 2 + 0.002 * x, 0),
        (lambda x, _y: 2500.0 + 0.002 * x + 2.0 * math.sin(x / 800.0), 3),
    ],
)
def test_z_stays_near_the_surface_and_the_stage_stops_only_where_it_turns_round(
    way: int, height_um: Height, n_stops: int
) -> None:
    swept = row(way=way)
    line = swept_line(swept, height_um)
    assert len(line.stops) == line.n_reversals <= n_stops
    off_um = np.array([line.z_at(t.x_um) - height_um(t.x_um, 0.0) for t in swept.tiles])
    assert np.abs(off_um).max() < 0.45  # 0.3 of the depth of field, and half a step
    assert line.begin_um == swept.tiles[0].x_um - way * 250.0
    assert line.end_um == swept.tiles[-1].x_um + way * 260.0
    assert [section.to_um for section in line.sections] == [
        *(line.knots[k].at_um for k in line.stops),
        line.end_um,
    ]
    assert sum(len(section.knots) - 1 for section in line.sections) == len(line.knots) - 1
    steps = np.array([knot.z_um for knot in line.knots]) / STEP_UM
    assert steps == pytest.approx(np.rint(steps))
    # Z is on its line where the first tile is taken and where the last one is.
    assert way * (line.knots[0].at_um - swept.tiles[0].x_um) == pytest.approx(-20.0)
    assert way * (line.knots[-1].at_um - swept.tiles[-1].x_um) == pytest.approx(20.0)


def test_a_flat_part_is_engaged_like_the_slope_before_it_and_a_first_one_like_the_next() -> None:
    def line(*heights_um: float) -> Line:
        return Line(0.0, 9.0, tuple(Knot(float(k), z_um) for k, z_um in enumerate(heights_um)))

    assert line(5.0, 5.0, 4.0, 4.0, 3.0).is_falling == (True, True, True, True)
    assert line(5.0, 5.0, 6.0, 6.0, 5.0).is_falling == (False, False, False, True)
    assert line(5.0, 5.0).is_falling == (False,)


@pytest.mark.parametrize(("rise_um", "n_stops"), [(6.0, 0), (13.0, 0), (14.0, 0), (15.0, 2), (30.0, 2)])
def test_the_stage_stops_at_a_step_for_which_z_is_too_slow(rise_um: float, n_stops: int) -> None:
    swept = row(46)
    line = swept_line(swept, lambda x_um, _y: 2500.0 + (rise_um if x_um > 8100.0 else 0.0))
    assert (len(line.stops), line.n_reversals) == (n_stops, 0)
    assert (
        max(abs(line.z_at(t.x_um) - 2500.0 - (rise_um if t.x_um > 8100.0 else 0.0)) for t in swept.tiles)
        < 0.5
    )
    for a, b in itertools.pairwise(line.knots):
        takes_s = Trapezoid(
            round(abs(b.z_um - a.z_um) / STEP_UM), 1000.0 / STEP_UM, 25000.0 / STEP_UM
        ).duration_s
        assert takes_s <= (b.at_um - a.at_um) / 6000.0 or n_stops


def test_short_runs_are_taken_one_by_one_and_long_ones_in_pieces() -> None:
    tiles = [PlannedTile(0, k, 400.0 * k, 0.0) for k in range(70)]
    tiles += [PlannedTile(1, k, 400.0 * k, 300.0) for k in (9, 8)]
    rows, others = rows_of(tiles)
    assert [len(each.tiles) for each in rows] == [64, 6]
    assert [each.way for each in rows] == [1, 1]
    assert others == tuple(tiles[70:])
    assert rows_of(tiles[::-1])[0][0].way == -1


@pytest.mark.parametrize("costs", [COSTS, SLOW])
def test_a_fold_that_the_row_before_has_shown_is_not_followed_and_bends_nothing_beside_it(
    costs: Costs,
) -> None:
    """It lies elsewhere in the next row; and the tiles beside it stay in focus."""
    swept = row(46)
    for n_wide in (1, 3, 5):
        ends_um = 7900.0, 7900.0 + 400.0 * n_wide

        def height_um(x_um: float, _y_um: float, ends_um: tuple[float, float] = ends_um) -> float:
            return 2500.0 + (6.0 if ends_um[0] < x_um < ends_um[1] else 0.0)

        line = swept_line(swept, height_um, lambda _x, _y: 2500.0, costs)
        assert line.stops == ()
        assert {knot.z_um for knot in line.knots} <= {2499.6875, 2500.0}  # half a step ahead of where Z lags


@pytest.mark.parametrize(("sigma_um", "is_followed"), [(0.15, True), (3.0, False)])
def test_a_height_is_followed_as_far_as_it_is_known(sigma_um: float, is_followed: bool) -> None:
    def expected(x_um: float, _y_um: float) -> Expected:
        is_there = 7900.0 < x_um < 9900.0
        return Expected(2502.5 if is_there else 2500.0, sigma_um if is_there else 0.15)

    line = line_of(row(46), expected, Ends(250.0, 260.0), COSTS, DEPTH_UM, STEP_UM)
    assert (line.n_reversals > 0) is is_followed
    assert (abs(line.z_at(8800.0) - 2502.5) < 0.4) is is_followed


def test_a_step_is_followed_and_nothing_swings_behind_it() -> None:
    swept = row(46)

    def height_um(x_um: float, _y_um: float) -> float:
        return 2500.0 + (2.5 if x_um > 8100.0 else 0.0)

    line = swept_line(swept, height_um)
    assert (len(line.sections), line.n_reversals) == (1, 0)
    assert max(abs(line.z_at(t.x_um) - height_um(t.x_um, 0.0)) for t in swept.tiles) < 0.4


def test_what_lies_side_by_side_is_swept_again_from_the_nearer_end_and_the_nearest_run_first() -> None:
    places = [
        (0, 3),
        (2, 7),
        (0, 2),
        (2, 12),
        (0, 8),
        (1, 9),
        (2, 18),
    ]  # out of order, some with good ones between
    tiles = [PlannedTile(row, column, 400.0 * column, 300.0 * row) for row, column in places]
    runs = runs_of(tiles)
    assert [[tile.column for tile in run.tiles] for run in runs] == [[2, 3, 8], [9], [7, 12], [18]]
    assert [tile.row for run in runs_of(tiles, "y") for tile in run.tiles[:1]] == [0, 0, 2, 0, 1, 2, 2]
    first = nearest_run(runs, (4_700.0, 500.0))
    assert ([tile.column for tile in first.tiles], first.way) == ([12, 7], -1)
    assert nearest_run(runs, (7_000.0, 0.0)) == runs[3]
    far = [PlannedTile(0, 5 * k, 400.0 * 5 * k, 0.0) for k in range(14)]
    assert [len(run.tiles) for run in runs_of(far)] == [13, 1]  # no more frames than a camera's driver takes


def test_what_is_taken_again_is_visited_by_the_nearest_first() -> None:
    tiles = [PlannedTile(0, k, 400.0 * k, 300.0 * row) for k, row in ((30, 0), (1, 0), (2, 1), (31, 1))]
    assert [tile.column for tile in nearest_first(tiles, (13_000.0, 0.0))] == [31, 30, 2, 1]


def test_15_mm_take_less_than_two_and_a_half_minutes_at_a_flash_that_blurs_a_quarter_of_a_pixel() -> None:
    plan = sweep_plan(whole(), BRIGHT, PLAYS)
    assert plan.limited_by == "light"
    assert plan.speed_um_per_s * plan.flash_s <= 0.25 * 0.345 * 1.01
    # As much light as an exposure at rest.
    assert plan.flash_s * plan.duty * 340.0 == pytest.approx(0.008 * 0.6, rel=0.02)
    assert 100.0 < plan.scan_s < 150.0
    assert 5500.0 < plan.speed_um_per_s < 6500.0


def test_rows_with_the_long_side_of_the_picture_across_them_are_fewer_and_are_chosen() -> None:
    camera = BRIGHT.camera
    area, field_um = rectangle(20_000.0, 5_000.0, 35_000.0, 20_000.0), field_of(camera, camera.um_per_px)
    plan = quicker_plan(area, BRIGHT, field_um, 0.05, PLAYS)
    along_x, along_y = sweep_plan(whole(), BRIGHT, PLAYS), sweep_plan(plan, BRIGHT, PLAYS)
    assert (along_x.along, along_y.along) == ("x", "y")
    assert (along_x.n_rows, along_y.n_rows) == (45, 38)
    assert along_y.scan_s < 0.87 * along_x.scan_s
    # The same tiles, column after column, back and forth.
    assert set(plan.tiles) == set(whole().tiles)
    turn = next(k for k, tile in enumerate(plan.tiles) if tile.column == 1)
    assert plan.tiles[turn - 1].row == plan.tiles[turn].row == 44
    # A region that is long in X has fewer rows along X.
    flat = rectangle(20_000.0, 5_000.0, 35_000.0, 6_000.0)
    assert quicker_plan(flat, BRIGHT, field_um, 0.05, PLAYS).along == "x"


def test_a_part_costs_a_request_and_a_reversal_a_stop_and_the_play() -> None:
    plan = sweep_plan(whole(), BRIGHT, PLAYS)
    straight = Line(0.0, 10_000.0, (Knot(100.0, 2500.0), Knot(9_900.0, 2502.0)))
    bent = Line(0.0, 10_000.0, (Knot(100.0, 2500.0), Knot(5_000.0, 2502.0), Knot(9_900.0, 2503.0)))
    turned = Line(0.0, 10_000.0, (Knot(100.0, 2500.0), Knot(5_000.0, 2502.0), Knot(9_900.0, 2500.0)), (1,))
    once, twice, back = (line_s(line, plan, BRIGHT.board) for line in (straight, bent, turned))
    assert twice - once == pytest.approx(0.002)
    z, costs = BRIGHT.board.z, plan.costs(BRIGHT.board.z)
    stop_s = plan.speed_um_per_s / BRIGHT.board.x.accel_um_per_s2
    take_up_s = Trapezoid(round(22.0 / z.um_per_step), 3200.0, 80_000.0).duration_s
    assert back - twice == pytest.approx(stop_s + take_up_s, abs=0.03)
    assert back - twice == pytest.approx(costs.reversal_s, abs=0.005)
    assert costs.stop_s == pytest.approx(stop_s, abs=0.003)
    slow = with_scan(BRIGHT, flash_brightness=85.0)
    slow_costs = sweep_plan(whole(), slow, PLAYS).costs(z)
    assert slow_costs.stop_s < 0.3 * costs.stop_s
    assert slow_costs.again_s == costs.again_s
    assert slow_costs.pace.speed_um_per_s < 0.3 * costs.pace.speed_um_per_s


@pytest.mark.parametrize(
    ("toml", "plays", "message"),
    [
        ("", PLAYS, "the lamp is too dark for --continuous.*Use a brighter flash"),
        ("[scan]\nflash_brightness = 340.0\n", PLAYS[:2], "the play of z was not measured"),
        ("[scan]\nflash_brightness = 340.0\n", (), "the play of x, y, z was not measured"),
        (
            "[scan]\nflash_brightness = 340.0\n[camera]\nframe_period_s = 1.0\nexposure_s = 0.008\n",
            PLAYS,
            "the camera allows 0.38 mm/s only",
        ),
    ],
)
def test_a_scan_that_would_be_dark_inexact_or_slow_is_refused(
    toml: str, plays: tuple[PlayInUse, ...], message: str
) -> None:
    config = config_from_toml(toml, "the test")
    with pytest.raises(ConfigError, match=message):
        sweep_plan(whole(config), config, plays)


@pytest.mark.parametrize(
    ("objective", "um_per_px", "wavelength_um"),
    [
        ("20x/0.75", 0.345, 0.45),
        ("40x/0.65", 0.1725, 0.45),
        ("40x/0.65", 0.08625, 0.45),
        ("10x/0.3", 0.08625, 0.45),
        ("100x/1.25", 0.0345, 0.45),
    ],
)
def test_a_flash_leaves_the_finest_detail_of_a_picture_its_contrast(
    objective: str, um_per_px: float, wavelength_um: float
) -> None:
    config = config_from_toml(
        f"[camera]\num_per_px = {um_per_px}\n[focus]\nobjective = '{objective}'\n", "the test"
    )
    # Nothing finer is in the picture: two pixels, or what an aperture lets through (Abbe).
    finest_um = max(2.0 * um_per_px, wavelength_um / (2.0 * float(objective.split("/")[1])))
    way_um = np.linspace(-0.5, 0.5, 2001) * blur_um_of(config)
    contrast = np.cos(2.0 * np.pi * way_um / finest_um).mean()
    assert 0.97 < contrast < 0.98  # no slower than this needs


def test_a_flash_ends_before_the_exposure_that_was_measured() -> None:
    brighter = with_scan(BRIGHT, flash_brightness=3400.0)
    short = TriggerInUse(0.0001, 0.00001, 0.000005, datetime(2026, 11, 27, tzinfo=timezone.utc))
    plan = sweep_plan(whole(), brighter, PLAYS, short)
    assert plan.flash_s == 0.000005 < sweep_plan(whole(), brighter, PLAYS).flash_s
    assert plan.flash_s * plan.duty == pytest.approx(0.008 * 0.6 / 3400.0, rel=0.02)  # no less light
    assert plan.flash.middle_s == 0.0001 + plan.flash_s / 2.0
    with pytest.raises(ConfigError, match=r"all lines of the camera expose together for 0\.001 ms"):
        sweep_plan(whole(), brighter, PLAYS, msgspec.structs.replace(short, room_s=0.000001))


def test_the_brightness_that_the_refusal_names_is_enough() -> None:
    with pytest.raises(ConfigError) as refused:
        sweep_plan(whole(), Config(), PLAYS)
    enough = float(str(refused.value).split("brighter flash (")[1].split(" ")[0])
    scan = msgspec.structs.replace(Config().scan, flash_brightness=enough)
    plan = sweep_plan(whole(), msgspec.structs.replace(Config(), scan=scan), PLAYS)
    assert plan.speed_um_per_s == pytest.approx(1000.0, rel=0.02)
