"""`max_um` holds for the true position, whatever screw, gear, motor and stage add to the command."""

from __future__ import annotations

import msgspec
import pytest

from parfocal.board.config import Z_DEFAULT, AxisConfig, BoardConfig
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from tests.bench.link_campaign import highest_z

pytestmark = pytest.mark.usefixtures("far_side")

CREST_UM = 2250.0  # where the error of the stub's screw is largest upwards
GENTLE, FASTEST = (1000.0, 25000.0), (2000.0, 45000.0)
WORST = {"lead_error_um": 0.5, "drift_um": 1.0, "drift_tau_s": 1.0, "settle_amplitude_um": 0.5}


def z_ending_at(limit_um: float, rates: tuple[float, float] = GENTLE, **errors: float) -> AxisConfig:
    """A z axis whose highest commanded position is `limit_um`."""
    speed_um_per_s, accel_um_per_s2 = rates
    z = msgspec.structs.replace(
        Z_DEFAULT, speed_um_per_s=speed_um_per_s, accel_um_per_s2=accel_um_per_s2, **errors
    )
    return msgspec.structs.replace(z, max_um=limit_um + z.upper_margin_um)


def true_above_max_um(z: AxisConfig, **mechanics: float) -> float:
    """How far true z passed `max_um` in moves at the top in both directions and after the motor lost its current."""
    stub = StubConfig()
    bench = VirtualBench(msgspec.structs.replace(stub, z=msgspec.structs.replace(stub.z, **mechanics)))
    with bench.open_board(BoardConfig(z=z)) as board:
        board.home(("z",))
        board.z.approach_up(1252.2)
        board.motors_on(())  # the rotor falls to a full step, so that homing finds other steps
        board.home(("z",))
        top, limit_um = highest_z(bench), board.z.limits_um[1]
        for target_um in (limit_um, limit_um - 0.4, limit_um, limit_um - 300.0, limit_um):
            board.z.move_to(target_um)
        bench.clock.sleep_s(10.0)
        board.z.approach_up(limit_um - 10.0, from_below_um=limit_um - 100.0)
        board.z.approach_up(limit_um)
        bench.clock.sleep_s(0.1)
        board.estop()
        bench.clock.sleep_s(0.1)
        bench.true_um(bench.clock.now_s())
        return top() - z.max_um


@pytest.mark.parametrize("rates", [GENTLE, FASTEST])
@pytest.mark.parametrize("play_um", [0.0, 20.0, 35.0])
@pytest.mark.parametrize("lead_error_um", [0.0, 0.3, 0.5])
def test_true_z_never_passes_max_um_whatever_the_screw_the_play_and_the_speed(
    lead_error_um: float, play_um: float, rates: tuple[float, float]
) -> None:
    errors = {**WORST, "lead_error_um": lead_error_um, "play_um": play_um}
    assert true_above_max_um(z_ending_at(CREST_UM, rates), **errors) <= 0.0


def test_true_z_never_passes_max_um_when_the_motor_falls_to_a_full_step() -> None:
    above_um = [true_above_max_um(z_ending_at(CREST_UM + 0.3125 * i), **WORST) for i in range(17)]
    assert -1.5 < max(above_um) <= 0.0  # nearly all of the margin is needed


@pytest.mark.parametrize("error_um", [1.0, 3.0])
def test_a_larger_configured_error_widens_the_margin(error_um: float) -> None:
    for configured, mechanics in (
        ({"screw_error_um": error_um}, {"lead_error_um": error_um}),
        ({"swing_um": error_um}, {"settle_amplitude_um": error_um}),
        ({"drift_um": error_um}, {"drift_um": error_um}),
    ):
        z = z_ending_at(CREST_UM + 2.1875, FASTEST, **configured)
        assert true_above_max_um(z, **{**WORST, **mechanics}) <= 0.0


def test_the_margin_is_the_sum_of_all_errors_above_the_command() -> None:
    z = z_ending_at(CREST_UM)
    assert z.upper_margin_um == pytest.approx(0.3125 + 8 * 0.3125 + 0.5 + 0.5 + 1.0)
    assert z.highest_um == pytest.approx(CREST_UM)
    with pytest.raises(ValueError, match=r"limits 0.0..4.8 um leave no room for one step below the margin"):
        msgspec.structs.replace(Z_DEFAULT, max_um=4.8)
