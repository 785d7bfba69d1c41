"""Which speed and acceleration a motor can follow together: those below its pull-out line.

The faster a stepper turns, the less torque it has. Beyond the line it loses steps without any notice.
"""

from __future__ import annotations


def is_followed(
    speed_steps_per_s: int,
    accel_steps_per_s2: int,
    no_torque_steps_per_s: int,
    from_rest_steps_per_s2: int,
) -> bool:
    """Whether a motor reaches this speed with this acceleration without losing a step.

    The line is straight, from `from_rest_steps_per_s2` at rest to none at `no_torque_steps_per_s`.
    """
    asked = speed_steps_per_s * from_rest_steps_per_s2 + accel_steps_per_s2 * no_torque_steps_per_s
    return asked <= no_torque_steps_per_s * from_rest_steps_per_s2
