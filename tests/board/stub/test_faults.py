"""Faulty mechanics: what the stub models, how the board reacts, and what the host learns."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, MoveRefused, MoveStopped, PositionLost
from parfocal.board.link.counters import LinkCounters
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.faults import (
    Damage,
    EstopPressed,
    Faults,
    MissedSteps,
    StuckSwitch,
    Unplug,
    load_faults,
)
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, MoveResult, Switch
from parfocal.board.wire.packet import Packet

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")


def stub_z(**changes: float) -> StubConfig:
    stub = StubConfig()
    return msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, **changes))


def true_z(bench: VirtualBench) -> float:
    return bench.true_um(bench.clock.now_s())[2]


# --- mechanics


@pytest.mark.parametrize(
    ("speed_um_per_s", "accel_um_per_s2", "loses"),
    [
        pytest.param(1000.0, 25000.0, False, id="as_configured"),
        pytest.param(2000.0, 49000.0, False, id="just_inside_the_curve"),
        pytest.param(2000.0, 60000.0, True, id="accelerates_too_hard_near_its_top_speed"),
        pytest.param(4100.0, 20000.0, True, id="faster_than_there_is_torque"),
        pytest.param(500.0, 110000.0, True, id="accelerates_too_hard_from_rest"),
    ],
)
def test_steps_beyond_the_torque_curve_are_lost(
    speed_um_per_s: float, accel_um_per_s2: float, loses: bool
) -> None:
    config = msgspec.structs.replace(StubConfig().z, play_um=0.0, start_um=0.0, settle_amplitude_um=0.0)
    axis = AxisMechanics(config, 0.0, slack=0.0)
    scale = config.um_per_step
    axis.drive(0.0, 3200, speed_um_per_s / scale, accel_um_per_s2 / scale)
    assert axis.count_at(axis.end_s) == 3200
    lost_um = 1000.0 - axis.true_um(axis.end_s)
    assert (lost_um > 1.0) is loses
    assert lost_um >= -1e-9


def test_the_speed_along_a_move_follows_its_trapezoid() -> None:
    speeds = Trapezoid(1000, 1000.0, 5000.0).edge_speeds_steps_per_s()
    assert speeds.shape == (1000,)
    assert speeds.max() == 1000.0
    assert speeds[0] == speeds[-1] == pytest.approx(100.0)
    assert (speeds == 1000.0).sum() == pytest.approx(800, abs=2)


def test_lead_error_is_periodic_and_drift_settles(healthy_board: HealthyBoard) -> None:
    wavy = stub_z(lead_error_um=0.4, settle_amplitude_um=0.0)
    with healthy_board(wavy) as (bench, board):
        errors = []
        for target_um in (250.0, 500.0, 750.0, 1000.0, 1250.0):
            board.z.approach_up(target_um)
            errors.append(round(true_z(bench) - target_um, 6))
        assert errors == [0.4, 0.0, -0.4, 0.0, 0.4]
    with healthy_board(stub_z(drift_um=3.0, drift_tau_s=100.0)) as (bench, board):
        board.z.approach_up(500.0)
        bench.clock.sleep_s(1000.0)
        assert true_z(bench) == pytest.approx(503.0, abs=0.01)


def test_homing_finds_the_edge_of_a_bouncing_switch(healthy_board: HealthyBoard) -> None:
    with healthy_board(stub_z(bounce_s=0.02, settle_amplitude_um=0.0), homed=False) as (bench, board):
        seen: list[bool] = []
        machine = bench.stub.machine

        def look() -> None:
            seen.append(machine.axes[2].lower_closed(machine.now_s))

        bench.clock.every(0.001, look)
        board.home(("z",))
        flips = sum(a != b for a, b in itertools.pairwise(seen))
        assert flips > 8  # four crossings without bounce
        assert true_z(bench) == pytest.approx(0.0, abs=1e-6)


def test_a_motor_switched_off_falls_to_a_full_step_sags_and_must_be_homed(
    healthy_board: HealthyBoard,
) -> None:
    with healthy_board(stub_z(sag_um=12.0, settle_amplitude_um=0.0, play_um=0.0)) as (bench, board):
        board.z.approach_up(502.5)  # 1608 steps: half way between two full steps
        bench.clock.sleep_s(0.2)
        board.motors_on(("x", "y"))
        fell_um = true_z(bench)
        assert fell_um == pytest.approx(500.0 - 12.0, abs=0.1)
        state = board.state()
        assert (state.motors, state.homed) == (AxisBit.X | AxisBit.Y, AxisBit.X | AxisBit.Y)
        with pytest.raises(MoveRefused, match="the axis is not homed; nothing moved"):
            board.z.approach_up(100.0)
        board.x.approach_up(200.0)
        with pytest.raises(MoveRefused, match="its motor is switched off"):
            board.z.jog(5.0)
        board.home(("z",))
        assert board.state().motors == AxisBit.X | AxisBit.Y | AxisBit.Z
        assert true_z(bench) == pytest.approx(0.0, abs=0.16)  # the rotor now stands between other steps


def test_missed_steps_shift_the_stage_until_it_is_homed() -> None:
    faults = Faults(incidents=(MissedSteps(on_motion=3, axis="z", n_steps=64),))
    bench = VirtualBench(stub_z(settle_amplitude_um=0.0), faults)
    with bench.open_board() as board:
        board.home()
        board.z.approach_up(300.0)
        assert true_z(bench) == pytest.approx(280.0, abs=1e-6)
        board.home(("z",))
        board.z.approach_up(300.0)
        assert true_z(bench) == pytest.approx(300.0, abs=1e-6)
        assert board.counters == LinkCounters()


# --- switches


def test_a_move_onto_a_limit_switch_stops_there_and_the_position_is_lost(healthy_board: HealthyBoard) -> None:
    # The stage has lost 600 steps downwards: the counter reads lower than the truth.
    with healthy_board(stub_z(upper_switch_um=5050.0, settle_amplitude_um=0.0)) as (bench, board):
        board.z.approach_up(1000.0)
        bench.stub.machine.axes[2].lose_steps(600)
        board.z.move_to(700.0)
        with pytest.raises(PositionLost, match="ran onto a limit switch inside its limits. Home the axes"):
            board.z.approach_up(4990.0)
        assert true_z(bench) == pytest.approx(5050.0, abs=0.4)
        state = board.state()
        assert state.last_result is MoveResult.LIMIT_SWITCH
        assert state.faults == Fault.LIMIT_SWITCH
        assert state.switches == Switch.Z_UPPER
        assert not board.z.is_homed
        assert board.x.is_homed
        board.clear_faults()
        assert board.state().faults == Fault(0)
        board.home(("z",))
        assert true_z(bench) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("stuck", "fault"),
    [
        (StuckSwitch(axis="z", switch="lower", contact="stuck closed"), Fault.STUCK_SWITCH),
        (StuckSwitch(axis="z", switch="lower", contact="stuck open"), Fault(0)),
    ],
    ids=["closed", "open"],
)
def test_homing_with_a_stuck_switch_fails_without_going_up(stuck: StuckSwitch, fault: Fault) -> None:
    bench = VirtualBench(stub_z(), Faults(incidents=(stuck,)))
    with bench.open_board() as board:
        began_um = true_z(bench)
        with pytest.raises(PositionLost, match="no switch edge found. Check the limit switch"):
            board.home(("z",))
        z = bench.config.z
        bounded_um = began_um + z.room_um + z.switch_hysteresis_um + z.play_um + 20.0
        assert true_z(bench) <= bounded_um
        assert true_z(bench) >= z.lower_switch_um - z.room_um - z.play_um - 1.0  # the hard stop
        state = board.state()
        assert (state.last_result, state.faults) == (MoveResult.HOME_FAILED, fault)
        assert not board.z.is_homed
        assert board.counters == LinkCounters()


def test_a_jog_moves_an_axis_before_homing_slowly_and_not_far(healthy_board: HealthyBoard) -> None:
    with healthy_board(stub_z(play_um=0.0), homed=False) as (bench, board):
        before_um, before_s = true_z(bench), bench.clock.now_s()
        board.z.jog(-100.0)
        assert bench.clock.now_s() - before_s > 100.0 / 200.0
        bench.clock.sleep_s(0.2)
        assert true_z(bench) - before_um == pytest.approx(-100.0, abs=0.01)
        assert not board.z.is_homed
        with pytest.raises(
            ValueError, match=r"jog of z by 201.25 um refused: the board allows 200.0 um; nothing"
        ):
            board.z.jog(201.25)
        fast = messages.MoveAbs(90, AxisBit.Z, (0, 0, 100), (0, 0, 3200), (0, 0, 80000))
        with pytest.raises(BoardError, match="the axis is not homed; nothing moved"):
            board._link.request(fast, messages.Ack)


def test_a_jog_of_a_homed_axis_keeps_the_limits(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        with pytest.raises(MoveRefused, match="limit is 0.0..4995.1875 um; nothing moved"):
            board.z.jog(-10.0)
        board.z.jog(50.0)
        bench.clock.sleep_s(0.2)
        assert board.z.position_um == 50.0
        assert true_z(bench) == pytest.approx(50.0, abs=0.01)


# --- e-stop


def test_an_estop_ends_everything_latches_and_forgets_the_position(healthy_board: HealthyBoard) -> None:
    with healthy_board(stub_z(sag_um=5.0)) as (bench, board):
        board.lamp(0.8)
        pressed_s = bench.clock.now_s() + 1.0
        bench.clock.call_at(pressed_s, board.estop)
        with pytest.raises((PositionLost, MoveStopped)):
            board.z.move_to(4990.0)
        bench.clock.sleep_s(0.3)
        stopped_um = true_z(bench)
        bench.clock.sleep_s(0.3)
        assert true_z(bench) == pytest.approx(stopped_um, abs=1e-6)
        state = board.state()
        assert (state.faults, state.homed, state.motors, state.lamp_duty) == (Fault.ESTOP, 0, 0, 0.0)
        assert not any(axis.is_homed for axis in (board.x, board.y, board.z))
        with pytest.raises(BoardError, match="emergency stop is latched; nothing was done. Release"):
            board.home(("z",))
        with pytest.raises(BoardError, match="emergency stop is latched; nothing was done. Release"):
            board.lamp(0.5)
        board.clear_faults()
        board.home()
        board.z.approach_up(50.0)


def test_an_estop_at_rest_makes_every_position_unknown_at_once(
    healthy_board: HealthyBoard,
) -> None:
    with healthy_board() as (bench, board):
        board.z.approach_up(300.0)
        begun = bench.stub.machine.motions_begun
        board.estop()
        assert not any(axis.is_homed for axis in (board.x, board.y, board.z))
        for axis in (board.x, board.y, board.z):
            with pytest.raises(MoveRefused, match="the axis is not homed; nothing moved"):
                axis.approach_up(400.0)
        assert bench.stub.machine.motions_begun == begun


def test_a_pressed_button_cannot_be_cleared_until_it_is_released() -> None:
    bench = VirtualBench(faults=Faults(incidents=(EstopPressed(on_motion=4, after_s=0.5, pressed_s=2.0),)))
    with bench.open_board() as board:
        board.home()
        with pytest.raises(PositionLost, match="ended by the emergency stop, motors off"):
            board.z.move_to(3000.0)
        assert board.state().last_result is MoveResult.ESTOP
        with pytest.raises(BoardError, match="CLEAR refused by the board: its emergency stop is latched"):
            board.clear_faults()
        bench.clock.sleep_s(3.0)
        board.clear_faults()
        board.home()
        assert board.counters == LinkCounters()


def test_a_lamp_turned_off_by_an_estop_stays_dark_after_clear_and_a_silence() -> None:
    for is_button in (True, False):
        bench = VirtualBench()
        with bench.open_board() as board:
            board.lamp(0.8)
            if is_button:
                bench.stub.machine.press_estop(True)
                bench.stub.machine.press_estop(False)
            else:
                board.estop()
            board.clear_faults()
            bench.clock.stall_s(5.0)
            bench.clock.sleep_s(5.0)
            assert board.counters.silences == 1
            assert bench.lamp_duty(bench.clock.now_s()) == 0.0
            board.lamp(0.3)
            assert bench.lamp_duty(bench.clock.now_s()) == 0.3
            board._link._counters.silences = 0  # this one was intended


def test_a_board_that_starts_with_its_button_pressed_is_latched() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.home()
        bench.stub.machine.press_estop(True)
        bench.stub.reboot()
        with pytest.raises(PositionLost, match="rebooted"):
            board.state()
        state = board.state()
        assert (state.faults, state.motors) == (Fault.ESTOP, 0)
        with pytest.raises(MoveRefused, match="emergency stop is latched"):
            board.home()
        bench.stub.machine.press_estop(False)
        board.clear_faults()
        board.home()


def test_an_estop_between_the_two_legs_of_an_approach_is_not_reported_as_nothing_moved(
    healthy_board: HealthyBoard,
) -> None:
    armed = False

    def press_before_the_second_leg(packet: Packet, data: bytes) -> bytes:
        nonlocal armed
        if armed and packet.kind == Kind.EVENT:
            armed = False
            bench.stub.machine.press_estop(True)
        return data

    with healthy_board(damage=press_before_the_second_leg) as (bench, board):
        board.z.approach_up(1000.0)
        armed = True
        with pytest.raises(PositionLost, match="z ended on its way: .*emergency stop is latched"):
            board.z.approach_up(900.0)
        assert not board.z.is_homed


# --- faults as data


def test_faults_are_read_from_toml_and_an_unknown_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        'seed = 4\n[to_board]\ndrop = 0.1\n[[incidents]]\nkind = "unplug"\non_motion = 3\nafter_s = 0.05\n'
        'gone_s = 0.4\n[[incidents]]\nkind = "stuck_switch"\naxis = "z"\nswitch = "lower"\n'
        'contact = "stuck open"\n'
    )
    assert load_faults(file) == Faults(
        seed=4,
        to_board=Damage(drop=0.1),
        incidents=(
            Unplug(on_motion=3, after_s=0.05, gone_s=0.4),
            StuckSwitch(axis="z", switch="lower", contact="stuck open"),
        ),
    )
    for wrong, named in (
        ("[to_board]\ndropp = 0.1\n", "dropp"),
        ('[[incidents]]\nkind = "earthquake"\n', "earthquake"),
        ("[to_host]\nflip = 2.0\n", "flip = 2.0: a probability is 0..1"),
    ):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=named):
            load_faults(file)
    with pytest.raises(ValueError, match="not read"):
        load_faults(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="larger than 1,000,000 bytes"):
        load_faults(Path("/dev/zero"))


@pytest.mark.parametrize(
    "damage",
    [
        Damage(drop=0.3),
        Damage(flip=0.3),
        Damage(truncate=0.3),
        Damage(duplicate=0.3),
        Damage(reorder=0.3),
        Damage(delay=0.3),
        Damage(noise=0.3),
    ],
    ids=["drop", "flip", "truncate", "duplicate", "reorder", "delay", "noise"],
)
def test_every_move_is_made_once_whatever_happens_to_frames(damage: Damage) -> None:
    bench = VirtualBench(stub_z(settle_amplitude_um=0.0), Faults(seed=1, to_board=damage, to_host=damage))
    # Long watchdogs: no run of lost heartbeats may end a motion, which would then begin a second time.
    with bench.open_board(BoardConfig(watchdog_s=20.0, lamp_watchdog_s=20.0)) as board:
        board.home(("z",))
        for i in range(1, 41):
            board.z.approach_up(50.0 * i)
            assert true_z(bench) == pytest.approx(50.0 * i, abs=1e-6)
        assert bench.stub.machine.motions_begun == 41
        board.lamp(0.25)
        assert bench.lamp_duty(bench.clock.now_s()) == 0.25
        assert board.counters.reconnects == 0
