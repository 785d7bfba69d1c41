"""The axis over the whole link onto the stub's gears: the true position is the requested one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused
from parfocal.board.motion.gear import Engagement
from parfocal.board.stub.config import StubConfig
from parfocal.board.wire.messages import AxisBit

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")

HALF_STEP_UM = 0.3125 / 2 + 1e-9


def stub_with_play(play_um: float, seed: int = 0) -> StubConfig:
    """A z axis with `play_um`. Its stage does not swing, so its position is exact at once."""
    stub = StubConfig(seed=seed)
    return msgspec.structs.replace(
        stub, z=msgspec.structs.replace(stub.z, play_um=play_um, settle_amplitude_um=0.0)
    )


@settings(max_examples=12)
@given(
    play_um=st.sampled_from([0.0, 10.0, 20.0]),
    seed=st.integers(0, 9),
    ways=st.lists(st.tuples(st.booleans(), st.floats(0.0, 4995.0)), min_size=1, max_size=8),
)
def test_approach_up_ends_within_half_a_step_of_the_target_whatever_the_play(
    healthy_board: HealthyBoard, play_um: float, seed: int, ways: list[tuple[bool, float]]
) -> None:
    with healthy_board(stub_with_play(play_um, seed)) as (bench, board):
        for upwards, target_um in ways:
            if not upwards:
                board.z.move_to(target_um)
            elif target_um >= board.z.overshoot_um:
                board.z.approach_up(target_um)
                assert board.z.engagement is Engagement.UP
                assert abs(bench.true_um(bench.clock.now_s())[2] - target_um) <= HALF_STEP_UM
            assert abs(board.z.position_um - target_um) <= HALF_STEP_UM or target_um < board.z.overshoot_um


@settings(max_examples=12)
@given(
    play_um=st.sampled_from([0.0, 10.0, 20.0, 35.0]),
    max_um=st.floats(100.0, 5000.0),
    targets_um=st.lists(st.floats(-100.0, 6000.0), min_size=1, max_size=8),
    from_below_um=st.none() | st.floats(-50.0, 200.0),
)
def test_true_z_never_passes_a_limit(
    healthy_board: HealthyBoard,
    play_um: float,
    max_um: float,
    targets_um: list[float],
    from_below_um: float | None,
) -> None:
    z = msgspec.structs.replace(BoardConfig().z, max_um=max_um)
    with healthy_board(stub_with_play(play_um), BoardConfig(z=z)) as (bench, board):
        for i, target_um in enumerate(targets_um):
            before = bench.true_um(bench.clock.now_s())
            try:
                if i % 2:
                    board.z.approach_up(target_um, from_below_um)
                else:
                    board.z.move_to(target_um)
            except MoveRefused:
                assert bench.true_um(bench.clock.now_s()) == before
            now_s = bench.clock.now_s()
            for time_s in (now_s - 0.2, now_s - 0.1, now_s):
                assert -1e-9 <= bench.true_um(time_s)[2] <= max_um + 1e-9


LIMIT = r"refused: limit is 0.0..4995.1875 um; nothing moved."


@pytest.mark.parametrize(
    ("target_um", "from_below_um", "wording"),
    [
        (
            5200.0,
            None,
            rf"move to z=5200.0 um {LIMIT} Lower the target, or set board.z.max_um if the stage may go there.$",
        ),
        (
            -1.0,
            None,
            rf"move to z=-1.0 um {LIMIT} Raise the target, or set board.z.min_um if the stage may go there.$",
        ),
        (
            15.0,
            None,
            rf"move to z=-7.188 um \(to approach 15.0 um from below\) {LIMIT} Raise the target, or ",
        ),
        (50.0, -3.0, rf"move to z=-3.0 um \(to approach 50.0 um from below\) {LIMIT} Raise the target, or "),
    ],
)
def test_a_way_point_beyond_a_limit_is_refused_before_anything_moves(
    healthy_board: HealthyBoard, target_um: float, from_below_um: float | None, wording: str
) -> None:
    with healthy_board() as (_, board):
        board.z.approach_up(100.0)
        before = board.state()
        with pytest.raises(MoveRefused, match=wording):
            board.z.approach_up(target_um, from_below_um)
        after = board.state()
        assert (after.last_move_id, after.pos_steps) == (before.last_move_id, before.pos_steps)
        assert board.z.position_um == 100.0


def test_the_limit_of_the_board_holds_when_a_wider_one_is_configured(healthy_board: HealthyBoard) -> None:
    z = msgspec.structs.replace(BoardConfig().z, max_um=9000.0)
    with healthy_board(config=BoardConfig(z=z)) as (_, board):
        assert board.z.limits_um == (0.0, 5000.0)
        with pytest.raises(MoveRefused, match=r"5000.0 um; nothing moved. Lower the target.$"):
            board.z.move_to(5001.0)


def test_nothing_moves_before_homing(healthy_board: HealthyBoard) -> None:
    with healthy_board(homed=False) as (_, board):
        with pytest.raises(MoveRefused, match=r"the axis is not homed; nothing moved. Run `parfocal home`"):
            board.z.approach_up(100.0)
        assert board.state().last_move_id == 0
        board.home(("z",))
        assert board.z.is_homed
        assert not board.x.is_homed
        assert board.state().homed == AxisBit.Z


def test_homing_goes_away_from_the_objective_first_and_ends_at_zero_engaged(
    healthy_board: HealthyBoard,
) -> None:
    with healthy_board(homed=False) as (bench, board):
        began_s, began = bench.clock.now_s(), bench.true_um(bench.clock.now_s())
        highest_um: list[float] = []
        bench.clock.every(0.01, lambda: highest_um.append(bench.stub.true_um(bench.stub.machine.now_s)[2]))
        board.home()
        bench.clock.sleep_s(0.5)
        assert max(highest_um) <= began[2] + 1e-9
        assert bench.true_um(bench.clock.now_s()) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
        assert [axis.engagement for axis in (board.x, board.y, board.z)] == [Engagement.UP] * 3
        assert bench.clock.now_s() - began_s < 15.0


def test_homing_backs_off_a_switch_that_is_pressed_already(healthy_board: HealthyBoard) -> None:
    stub = StubConfig()
    stub = msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, start_um=-200.0))
    with healthy_board(stub, homed=False) as (bench, board):
        assert board.state().switches
        board.home(("z",))
        assert not board.state().switches
        bench.clock.sleep_s(0.5)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(0.0, abs=1e-6)


def test_a_move_that_ends_downwards_leaves_the_stage_above_by_the_play(healthy_board: HealthyBoard) -> None:
    with healthy_board(stub_with_play(20.0)) as (bench, board):
        board.z.approach_up(1000.0)
        board.z.move_to(900.0)
        assert board.z.engagement is Engagement.DOWN
        assert board.z.position_um == 900.0
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(920.0, abs=0.2)


def test_the_stage_is_still_at_the_settled_time(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        for name, axis in board.axes.items():
            settled_s = axis.approach_up(1000.0)
            bench.clock.sleep_s(settled_s - bench.clock.now_s())
            true_um = bench.true_um(settled_s)["xyz".index(name)]
            assert true_um == pytest.approx(1000.0, abs=0.3125)
            assert bench.true_um(bench.clock.now_s() - axis.config.settle_s)["xyz".index(name)] != true_um


def test_an_approach_to_the_present_position_sends_nothing(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        settled_s = board.z.approach_up(500.0)
        before = board.state().last_move_id
        assert board.z.approach_up(500.0) == settled_s
        assert board.state().last_move_id == before


@pytest.mark.parametrize(("axis", "delta_um", "duration_s"), [("z", 14.0, 0.05), ("x", 420.0, 0.15)])
def test_a_move_takes_the_time_of_its_trapezoid(
    healthy_board: HealthyBoard, axis: str, delta_um: float, duration_s: float
) -> None:
    with healthy_board() as (bench, board):
        mover = board.axes[axis]
        mover.approach_up(1000.0)
        began_s = bench.clock.now_s()
        mover.approach_up(1000.0 + delta_um)
        assert bench.clock.now_s() - began_s == pytest.approx(duration_s, abs=0.005)


def test_a_measured_scale_moves_the_stage_to_the_true_position_and_keeps_the_limits(
    healthy_board: HealthyBoard,
) -> None:
    # The screw moves the stage by a tenth more than the configuration says.
    stub = stub_with_play(0.0)
    stub = msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, um_per_step=0.34375))
    with healthy_board(stub) as (bench, board):
        board.z.approach_up(2000.0)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(2200.0, abs=0.5)
        board.z.use_scale(0.34375)
        assert board.z.position_um == pytest.approx(2200.0, abs=0.5)
        assert board.z.engagement is Engagement.UNKNOWN
        board.z.approach_up(1500.0)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(1500.0, abs=0.5)
        assert board.z.limits_um[1] <= board.z.config.highest_um
        with pytest.raises(MoveRefused, match="limit is"):
            board.z.move_to(board.z.limits_um[1] + 1.0)


def test_a_measured_settle_time_is_waited_for_from_the_next_move_on(healthy_board: HealthyBoard) -> None:
    with healthy_board(stub_with_play(0.0)) as (bench, board):
        board.z.use_settle(0.5)
        assert board.z.approach_up(1000.0) - bench.clock.now_s() == pytest.approx(0.5, abs=0.01)
        for refused_s in (-0.1, 61.0):
            with pytest.raises(ValueError, match="settle_s"):
                board.z.use_settle(refused_s)
