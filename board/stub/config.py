"""The configuration of a stub. The defaults are the stage of the paper (dastidar2020 4.1)."""

from __future__ import annotations

import msgspec


class StubAxisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One axis of the stub. Positions are true positions; 0 is where a homed counter reads 0.

    `travel_um`: the board's own upper limit; the lower one is 0. `start_um`: position at power-up.
    The lower switch is pressed `switch_hysteresis_um` below the point where it is released.
    After a stop the stage swings by at most `settle_amplitude_um`, decaying with `settle_tau_s`.
    The motor has no torque left at `stall_speed_um_per_s` and accelerates by at most `stall_accel_um_per_s2`
    from rest. The curve between the two is straight; so the board states it. Steps beyond `torque_share` of it are
    lost: the true motor may have less torque than its board was told.
    `room_um`: from each switch to the hard stop behind it. A screw of lead `lead_um` is off by up to
    `lead_error_um` along each turn. Warming up moves the stage by `drift_um`, with time constant `drift_tau_s`.
    A switch bounces for `bounce_s`. A motor that is switched off falls to the nearest full step, one every
    `microsteps`, and sags by `sag_um`. `jog_um`, `jog_um_per_s`: longest and fastest move before homing.
    """

    um_per_step: float
    travel_um: float
    max_speed_um_per_s: float
    max_accel_um_per_s2: float
    play_um: float
    start_um: float
    lower_switch_um: float
    upper_switch_um: float
    switch_hysteresis_um: float
    settle_amplitude_um: float
    settle_tau_s: float
    settle_hz: float
    stall_speed_um_per_s: float
    stall_accel_um_per_s2: float
    room_um: float
    jog_um: float
    jog_um_per_s: float
    lead_um: float
    lead_error_um: float = 0.0
    drift_um: float = 0.0
    drift_tau_s: float = 1800.0
    bounce_s: float = 0.001
    sag_um: float = 0.0
    microsteps: int = 16
    torque_share: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        positive = ("um_per_step", "travel_um", "max_speed_um_per_s", "max_accel_um_per_s2", "settle_tau_s")
        for name in (
            *positive,
            "stall_speed_um_per_s",
            "stall_accel_um_per_s2",
            "lead_um",
            "drift_tau_s",
            "torque_share",
        ):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"stub: {name} = {getattr(self, name)}: it must be positive")
        for name in ("play_um", "room_um", "jog_um", "bounce_s", "sag_um"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"stub: {name} = {getattr(self, name)}: it must not be negative")
        if not self.lower_switch_um < 0.0 < self.travel_um < self.upper_switch_um:
            raise ValueError("stub: the switches must lie outside the travel")


Z_STUB = StubAxisConfig(
    um_per_step=0.3125,
    travel_um=5000.0,
    max_speed_um_per_s=2000.0,
    max_accel_um_per_s2=100000.0,
    play_um=20.0,
    start_um=700.0,
    lower_switch_um=-100.0,
    upper_switch_um=5200.0,
    switch_hysteresis_um=10.0,
    settle_amplitude_um=0.5,
    settle_tau_s=0.008,
    settle_hz=60.0,
    stall_speed_um_per_s=4000.0,
    stall_accel_um_per_s2=100000.0,
    room_um=300.0,
    jog_um=200.0,
    jog_um_per_s=200.0,
    lead_um=1000.0,
)
X_STUB = StubAxisConfig(
    um_per_step=1.25,
    travel_um=75000.0,
    max_speed_um_per_s=20000.0,
    max_accel_um_per_s2=200000.0,
    play_um=60.0,
    start_um=6000.0,
    lower_switch_um=-500.0,
    upper_switch_um=76000.0,
    switch_hysteresis_um=30.0,
    settle_amplitude_um=2.0,
    settle_tau_s=0.015,
    settle_hz=40.0,
    stall_speed_um_per_s=30000.0,
    stall_accel_um_per_s2=200000.0,
    room_um=1500.0,
    jog_um=1000.0,
    jog_um_per_s=1000.0,
    lead_um=4000.0,
)
Y_STUB = msgspec.structs.replace(X_STUB, travel_um=25000.0, upper_switch_um=26000.0, start_um=4000.0)


class StubConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stub board.

    `round_trip_s`: time on the cable in virtual time (a USB CDC board takes 0.2 to 1 ms).
    `seed` decides where in its play the stage stands at power-up. `unit_serial`: the serial number of the board.
    """

    x: StubAxisConfig = X_STUB
    y: StubAxisConfig = Y_STUB
    z: StubAxisConfig = Z_STUB
    round_trip_s: float = 0.0005
    seed: int = 0
    unit_serial: int = 1
