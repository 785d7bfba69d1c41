"""Homing works wherever the stage stands and whatever the configured limits, and can be repeated."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import LinkTimeout
from parfocal.board.stub.config import StubAxisConfig, StubConfig
from parfocal.board.stub.faults import BoardStall, Faults
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit

pytestmark = pytest.mark.usefixtures("far_side")


def stub_with(name: str, **changes: float) -> StubConfig:
    """The stub with one axis changed."""
    stub = StubConfig()
    axis: StubAxisConfig = getattr(stub, name)
    return msgspec.structs.replace(stub, **{name: msgspec.structs.replace(axis, **changes)})


def true_um(bench: VirtualBench, name: str) -> float:
    return bench.true_um(bench.clock.now_s())["xyz".index(name)]


@pytest.mark.parametrize(
    ("start_um", "max_um", "speed_um_per_s"),
    [
        *(
            (start_um, max_um, 1000.0)
            for start_um in (-390.0, 700.0, 5199.0, 5490.0)
            for max_um in (20.0, 5000.0)
        ),
        # The slowest, at both ends of the travel.
        *((start_um, 20.0, 50.0) for start_um in (-390.0, 5490.0)),
    ],
)
def test_a_stage_far_beyond_a_small_soft_limit_is_homed(
    start_um: float, max_um: float, speed_um_per_s: float
) -> None:
    z = msgspec.structs.replace(BoardConfig().z, max_um=max_um, speed_um_per_s=speed_um_per_s)
    bench = VirtualBench(stub_with("z", start_um=start_um))
    with bench.open_board(BoardConfig(z=z)) as board:
        board.home(("z",))
        assert board.z.limits_um[1] < max_um
        bench.clock.sleep_s(0.5)
        assert true_um(bench, "z") == pytest.approx(0.0, abs=0.16)


def test_a_homing_that_timed_out_can_be_repeated_until_it_succeeds() -> None:
    # Pushed by hand beyond the travel that the board knows: the computed time is too short.
    bench = VirtualBench(stub_with("x", travel_um=1000.0, start_um=70000.0))
    with bench.open_board() as board:
        timed_out = 0
        while not board.x.is_homed:
            before_um = true_um(bench, "x")
            with contextlib.suppress(LinkTimeout):
                board.x.home()
                break
            assert board.state().moving == 0
            assert true_um(bench, "x") < before_um - 1000.0
            timed_out += 1
        assert 1 <= timed_out < 10
        bench.clock.sleep_s(0.5)
        assert true_um(bench, "x") == pytest.approx(0.0, abs=0.7)


def test_a_stage_that_decelerates_slowly_is_at_rest_when_its_timeout_is_raised() -> None:
    x = msgspec.structs.replace(BoardConfig().x, accel_um_per_s2=2000.0)
    stub = stub_with("x", travel_um=1000.0, start_um=8e5, upper_switch_um=9e5)
    bench = VirtualBench(stub)
    with bench.open_board(BoardConfig(x=x)) as board:
        with pytest.raises(LinkTimeout):
            board.x.home()  # at 5000 um/s it takes 2.5 s to stop
        assert board.state().moving == 0


def test_a_homing_waits_for_an_abandoned_motion() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.home(("z",))
        left = messages.MoveAbs(50, AxisBit.Z, (0, 0, 1600), (0, 0, 3200), (0, 0, 80000))
        board._link.request(left, messages.Ack)
        board._motion._move_id = 50
        board.home(("x",))
        assert board.x.is_homed
        assert true_um(bench, "z") == pytest.approx(500.0, abs=0.2)


def test_a_homing_on_a_board_that_fell_silent_can_be_repeated() -> None:
    bench = VirtualBench(faults=Faults(incidents=(BoardStall(on_motion=1, after_s=0.5, stall_s=20.0),)))
    with bench.open_board() as board:
        with pytest.raises(LinkTimeout):
            board.home(("z",))
        bench.clock.sleep_s(20.0)
        board.home(("z",))
        assert board.z.is_homed
