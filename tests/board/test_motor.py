"""An axis needs nothing from a board but a motor: any board gets the same limits, play and approaches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from parfocal.board.axis import Axis
from parfocal.board.config import Z_DEFAULT, AxisConfig
from parfocal.board.errors import MoveRefused, MoveStopped, PositionLost
from parfocal.board.motion.gear import Engagement
from parfocal.board.motor import MotorRatings, Rates, Standstill

STEPPER = MotorRatings(0, 16000, jog_steps=640, jog_steps_per_s=640)
LENS = MotorRatings(0, 4095, has_homing=False, has_play=False)
LENS_CONFIG = AxisConfig(
    um_per_step=0.05,
    min_um=0.0,
    max_um=200.0,
    speed_um_per_s=10_000.0,
    accel_um_per_s2=1e6,
    play_um=0.0,
    settle_s=0.02,
    microsteps=1,
)


class FakeMotor:
    """A motor of an unknown board. It moves at once; its gear has `play_steps`, and `stop_at` ends a move early."""

    def __init__(self, ratings: MotorRatings, is_homed: bool, play_steps: int = 0) -> None:
        self.ratings = ratings
        self.epoch = 0
        self.pos_steps = 0
        self.is_homed = is_homed
        self.stop_at: int | None = None
        self.targets: list[int] = []
        self.rates: list[Rates] = []
        self._play_steps = play_steps
        self.stage_steps = 0
        self._turns = 0

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    def move(self, target_steps: int, delta_steps: int, rates: Rates) -> float:
        assert self._turns
        assert target_steps - self.pos_steps == delta_steps
        self.targets.append(target_steps)
        self.rates.append(rates)
        if target_steps == self.stop_at:
            self._go((self.pos_steps + target_steps) // 2)
            raise MoveStopped("stopped")
        self._go(target_steps)
        return 7.0

    def home(self, rates: Rates) -> float:
        assert self._turns
        assert rates.speed_steps_per_s > 0.0
        self._go(-1000)
        self._go(0)
        self.is_homed = True
        return 7.0

    def standstill(self) -> Standstill:
        assert self._turns
        return Standstill(self.pos_steps, self.is_homed, 5.0)

    def _go(self, steps: int) -> None:
        self.pos_steps = steps
        self.stage_steps = min(max(self.stage_steps, steps), steps + self._play_steps)


def stepper(play_um: float = 20.0) -> tuple[FakeMotor, Axis]:
    motor = FakeMotor(STEPPER, is_homed=False, play_steps=round(play_um / 0.3125))
    return motor, Axis("z", msgspec.structs.replace(Z_DEFAULT, play_um=play_um), motor)


def test_a_foreign_motor_gets_our_approaches_and_reaches_its_targets() -> None:
    motor, z = stepper()
    z.home()
    for target_um in (500.0, 400.0, 397.5, 450.0):
        assert z.approach_up(target_um) == pytest.approx(7.0 + Z_DEFAULT.settle_s)
        assert (z.position_um, z.engagement) == (target_um, Engagement.UP)
        assert motor.stage_steps * 0.3125 == target_um
    assert motor.targets[:3] == [1600, 1280 - 71, 1280]
    assert motor.rates[0] == Rates(3200.0, 80000.0)


def test_a_foreign_motor_gets_our_limits_and_must_be_homed() -> None:
    motor, z = stepper()
    with pytest.raises(
        MoveRefused, match=r"move to z=100.0 um refused: the axis is not homed; nothing moved"
    ):
        z.approach_up(100.0)
    z.home()
    with pytest.raises(MoveRefused, match=r"limit is 0.0..4995.1875 um; nothing moved"):
        z.move_to(4996.0)
    z.move_to(100.0)
    with pytest.raises(MoveRefused, match=r"to approach 10.0 um from below"):
        z.approach_up(10.0)
    assert motor.targets == [320]


def test_a_move_that_a_foreign_motor_ends_early_leaves_the_position_it_reports() -> None:
    motor, z = stepper()
    z.home()
    motor.stop_at = 1600
    with pytest.raises(MoveStopped):
        z.approach_up(500.0)
    assert (z.position_um, z.engagement) == (250.0, Engagement.UNKNOWN)
    motor.is_homed = False  # the next move also loses the position
    with pytest.raises(PositionLost, match="z ended on its way: stopped"):
        z.approach_up(500.0)
    assert not z.is_homed


def test_a_position_is_read_again_when_the_epoch_of_its_motor_changes() -> None:
    motor, z = stepper()
    z.home()
    z.approach_up(500.0)
    motor.epoch, motor.is_homed = 1, False
    assert not z.is_homed
    with pytest.raises(MoveRefused, match="not homed"):
        z.approach_up(600.0)


def test_a_jog_is_capped_by_what_the_motor_allows_before_homing() -> None:
    motor, z = stepper()
    z.jog(-100.0)
    assert motor.targets == [-320]
    assert motor.rates == [Rates(640.0, 80000.0)]
    with pytest.raises(
        ValueError, match=r"jog of z by 201.25 um refused: the board allows 200.0 um; nothing moved"
    ):
        z.jog(201.25)


def test_a_lens_needs_no_homing_and_moves_straight_to_every_target() -> None:
    motor = FakeMotor(LENS, is_homed=True)
    lens = Axis("lens", LENS_CONFIG, motor)
    assert (lens.is_homed, lens.overshoot_um, lens.engagement) == (True, 0.0, Engagement.UP)
    for target_um in (100.0, 20.0, 20.0, 0.0, 150.0):
        lens.approach_up(target_um)
        assert (lens.position_um, lens.engagement) == (target_um, Engagement.UP)
    lens.move_to(30.0)
    lens.approach_up(10.0)
    assert motor.targets == [
        2000,
        400,
        0,
        3000,
        600,
        200,
    ]  # no way points, and nothing for the present position


def test_a_lens_keeps_limits_and_refuses_to_home_or_jog() -> None:
    motor = FakeMotor(LENS, is_homed=True)
    lens = Axis("lens", LENS_CONFIG, motor)
    with pytest.raises(MoveRefused, match="homing of lens refused: this axis cannot be homed; nothing moved"):
        lens.home()
    with pytest.raises(ValueError, match=r"the board allows 0.0 um; nothing moved"):
        lens.jog(5.0)
    with pytest.raises(MoveRefused, match="nothing moved"):
        lens.move_to(201.0)
    assert motor.targets == []


def test_an_actuator_without_play_is_not_given_any() -> None:
    with pytest.raises(ValueError, match=r"lens: play_um = 3.0: this actuator has no play. Set it to 0."):
        Axis("lens", msgspec.structs.replace(LENS_CONFIG, play_um=3.0), FakeMotor(LENS, is_homed=True))
