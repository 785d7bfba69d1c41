"""Speed and acceleration that a motor cannot follow together are refused; they would silently lose steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused
from parfocal.board.link.answers import Refusal
from parfocal.board.motion.pull_out import is_followed
from parfocal.board.own.board import Board
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stage.ratings import Ratings
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Opcode, Status
from tests.board.link.listening import Listening

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")

MOTIONS = {Opcode.MOVE_ABS, Opcode.HOME}


def z_at(speed_um_per_s: float, accel_um_per_s2: float) -> BoardConfig:
    z = msgspec.structs.replace(
        BoardConfig().z, speed_um_per_s=speed_um_per_s, accel_um_per_s2=accel_um_per_s2
    )
    return BoardConfig(z=z)


@settings(max_examples=200)
@given(
    axis=st.integers(0, 2),
    speed_share=st.floats(0.001, 1.2),
    accel_share=st.floats(0.001, 1.2),
    n_steps=st.integers(1, 4000),
)
def test_an_accepted_speed_and_acceleration_loses_no_step(
    axis: int, speed_share: float, accel_share: float, n_steps: int
) -> None:
    stub = StubConfig()
    ratings = Ratings((stub.x, stub.y, stub.z))
    speed = max(1, round(ratings.limits.max_speed_steps_per_s[axis] * speed_share))
    accel = max(1, round(ratings.limits.max_accel_steps_per_s2[axis] * accel_share))
    config = msgspec.structs.replace((stub.x, stub.y, stub.z)[axis], start_um=0.0, play_um=0.0)
    mechanics = AxisMechanics(config, 0.0, slack=0.0)
    mechanics.drive(0.0, n_steps, speed, accel)
    lost_um = n_steps * config.um_per_step - mechanics.end_stage_um
    if ratings.refusal(axis, speed, accel) is Status.OK:
        assert lost_um == pytest.approx(0.0, abs=1e-6)


def test_the_pull_out_line_runs_from_rest_to_the_speed_without_torque() -> None:
    line = (12800, 320000)
    assert is_followed(0, 320000, *line)
    assert not is_followed(1, 320000, *line)
    assert is_followed(6400, 160000, *line)
    assert not is_followed(6400, 160001, *line)
    assert not is_followed(6401, 160000, *line)
    assert not is_followed(12801, 1, *line)


@pytest.mark.parametrize(
    ("speed_um_per_s", "accel_um_per_s2", "most"),
    [
        (2000.0, 60000.0, r"its motor follows at most 50000 um/s2 at that speed"),
        (3000.0, 100.0, r"its motor follows at most 2000 um/s and 100000 um/s2"),
        (100.0, 2e5, r"its motor follows at most 2000 um/s and 100000 um/s2"),
    ],
)
def test_the_host_refuses_what_the_motor_cannot_follow_before_it_sends_a_motion(
    speed_um_per_s: float, accel_um_per_s2: float, most: str
) -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.home()
    cable = Listening(bench.open_transport())
    with Board.open(cable, bench.clock, z_at(speed_um_per_s, accel_um_per_s2)) as board:
        before_um = bench.true_um(bench.clock.now_s())
        for move in (
            lambda: board.z.approach_up(1000.0),
            lambda: board.z.move_to(1000.0),
            lambda: board.home(("z",)),
        ):
            with pytest.raises(MoveRefused, match=f"{most}; nothing moved. Lower board.z.speed_um_per_s or "):
                move()
        board.x.approach_up(100.0)
        assert bench.true_um(bench.clock.now_s())[2] == before_um[2]
    motions = [packet for packet in cable.sent if packet.opcode in MOTIONS]
    assert len(motions) == 1  # the move of x


def test_the_board_refuses_what_its_motor_cannot_follow(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        begun = bench.stub.machine.motions_begun
        for request in (
            messages.MoveAbs(90, AxisBit.Z, (0, 0, 3200), (0, 0, 6400), (0, 0, 160001)),
            messages.Home(90, AxisBit.Z, 6400, 160, 160001),
        ):
            with pytest.raises(Refusal, match="cannot follow that speed and acceleration together; nothing"):
                board._link.request(request, messages.Ack)
        assert bench.stub.machine.motions_begun == begun
        fast = messages.MoveAbs(90, AxisBit.Z, (0, 0, 960), (0, 0, 6400), (0, 0, 160000))
        board._link.request(fast, messages.Ack)
        bench.clock.sleep_s(2.0)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(300.0, abs=1e-6)


def test_the_stub_follows_the_default_configuration(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        for axis in (board.x, board.y, board.z):
            axis.approach_up(500.0)
