"""What a stub states about its axes, in steps, and which speeds and accelerations it refuses."""

from __future__ import annotations

from typing import NamedTuple

from parfocal.board.motion.pull_out import is_followed
from parfocal.board.stub.config import StubAxisConfig
from parfocal.board.wire.messages import Feature, Lens, Limits, PullOut, Status, Triple

FEATURES = Feature.LAMP | Feature.LIMIT_SWITCHES | Feature.ESTOP | Feature.STROBE | Feature.LENS
LENS = Lens(-250_000, 250_000)  # uA; of an EL-16-40-TC, the lens of liao2021 appendix D
_EDGE_RESERVE_UM = 20.0


class SeekSteps(NamedTuple):
    """What a homing needs to know about its axis, steps.

    `edge`: hysteresis and play, and more. `whole`: from hard stop to hard stop, and more. `off`: up off the switch at
    most. It is no more than the room below the switch, since a sticking switch must not send the stage upwards.
    `switch`: where the lower switch opens.
    """

    edge: int
    whole: int
    off: int
    switch: int


class Ratings:
    """Travel, caps, jogs and pull-out line of the three axes."""

    def __init__(self, configs: tuple[StubAxisConfig, StubAxisConfig, StubAxisConfig]) -> None:
        self.configs = configs
        self.limits = Limits(
            self._steps_of("max_speed_um_per_s"),
            self._steps_of("max_accel_um_per_s2"),
            self._steps_of("jog_um"),
            self._steps_of("jog_um_per_s"),
        )
        self.pull_out = PullOut(
            self._steps_of("stall_speed_um_per_s"), self._steps_of("stall_accel_um_per_s2")
        )
        x, y, z = (int(config.travel_um / config.um_per_step + 1e-9) for config in configs)
        self.max_steps: Triple = (x, y, z)  # upper travel limits; the lower ones are 0

    def refusal(self, i: int, speed_steps_per_s: int, accel_steps_per_s2: int) -> Status:
        """Why axis `i` may not run at this speed and acceleration, or OK."""
        limits, line = self.limits, self.pull_out
        is_within = (
            0 < speed_steps_per_s <= limits.max_speed_steps_per_s[i]
            and 0 < accel_steps_per_s2 <= limits.max_accel_steps_per_s2[i]
        )
        if not is_within:
            return Status.BAD_VALUE
        ends = line.no_torque_steps_per_s[i], line.from_rest_steps_per_s2[i]
        return Status.OK if is_followed(speed_steps_per_s, accel_steps_per_s2, *ends) else Status.PULL_OUT

    def target_refusal(
        self,
        i: int,
        target_steps: int,
        rates: tuple[int, int],
        is_homed: bool,
        jogs_from_steps: int | None,
    ) -> Status:
        """Why axis `i` may not go to a target at this speed and acceleration, or OK.

        `jogs_from_steps`: from where it may jog before it is homed, None if it may not.
        """
        refusal = self.refusal(i, *rates)
        if refusal is not Status.OK:
            return refusal
        if is_homed:
            return Status.OK if 0 <= target_steps <= self.max_steps[i] else Status.LIMIT
        may_go = jogs_from_steps is not None and self.is_jog(i, target_steps - jogs_from_steps, rates[0])
        return Status.OK if may_go else Status.NOT_HOMED

    def is_jog(self, i: int, delta_steps: int, speed_steps_per_s: int) -> bool:
        """Whether a move is short and slow enough for an axis that is not homed."""
        limits = self.limits
        return abs(delta_steps) <= limits.jog_steps[i] and speed_steps_per_s <= limits.jog_steps_per_s[i]

    def seek_steps(self, i: int) -> SeekSteps:
        """What a homing of axis `i` needs to know."""
        config = self.configs[i]
        scale = config.um_per_step
        edge = round((config.switch_hysteresis_um + config.play_um + _EDGE_RESERVE_UM) / scale)
        whole_um = config.upper_switch_um - config.lower_switch_um + config.room_um
        return SeekSteps(
            edge=edge,
            whole=round(whole_um / scale) + edge,
            off=edge + round(config.room_um / scale),
            switch=round(config.lower_switch_um / scale),
        )

    def _steps_of(self, name: str) -> Triple:
        """A length of each axis' configuration, converted from um to steps."""
        x, y, z = (int(getattr(config, name) / config.um_per_step) for config in self.configs)
        return x, y, z
