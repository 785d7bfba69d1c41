"""Faults of a stub as data: what happens to frames by chance, and incidents at a moment of a motion.

As TOML, every key optional:

    seed = 1

    [to_board]          # chances per frame, 0..1
    drop = 0.1
    flip = 0.15

    [[incidents]]
    kind = "unplug"     # or reboot, board_stall, host_stall, noise, stuck_switch, missed_steps, estop
    on_motion = 3       # 50 ms into the third motion since power-up; 0: that long after power-up
    after_s = 0.05
    gone_s = 0.4
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

AxisName = Literal["x", "y", "z"]
MAX_FILE_BYTES = 1_000_000  # anything larger was given by mistake


class Damage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to frames on the way in one direction: chances per frame, 0..1.

    `flip`: one bit. `truncate`: the end is missing. `reorder`: held up until the next frame has passed.
    `delay`: by up to `delay_s`. `noise`: up to `noise_bytes` random bytes come before it.
    """

    drop: float = 0.0
    flip: float = 0.0
    truncate: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    noise: float = 0.0
    delay_s: float = 0.1
    noise_bytes: int = 200

    def __post_init__(self) -> None:
        """Raises ValueError naming the field that cannot be."""
        for name in ("drop", "flip", "truncate", "duplicate", "reorder", "delay", "noise"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} = {getattr(self, name)}: a chance is 0..1")


class Incident(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Something that happens once, `after_s` into motion `on_motion`; 0 is the stub's power-up."""

    on_motion: int = 0
    after_s: float = 0.0


class Unplug(Incident, frozen=True, kw_only=True, tag="unplug"):
    """The cable is pulled, and back after `gone_s`, a pty then under another name.

    A board fed over the cable reboots with it; one with a supply of its own runs on, and its watchdog fires.
    """

    gone_s: float
    reboots: bool = False


class Reboot(Incident, frozen=True, kw_only=True, tag="reboot"):
    """The board starts anew; the port stays."""


class BoardStall(Incident, frozen=True, kw_only=True, tag="board_stall"):
    """The board neither listens nor speaks for a while; its motors and its watchdog run on."""

    stall_s: float


class HostStall(Incident, frozen=True, kw_only=True, tag="host_stall"):
    """The host stands still for a while; a stub process holds up what it sends instead."""

    stall_s: float


class Noise(Incident, frozen=True, kw_only=True, tag="noise"):
    """A burst of random bytes, both ways."""

    n_bytes: int


class StuckSwitch(Incident, frozen=True, kw_only=True, tag="stuck_switch"):
    """A contact sticks, for motions that begin after it; `works` ends it."""

    axis: AxisName
    switch: Literal["lower", "upper"]
    contact: Literal["works", "stuck closed", "stuck open"]


class MissedSteps(Incident, frozen=True, kw_only=True, tag="missed_steps"):
    """The next motion of an axis loses its first steps."""

    axis: AxisName
    n_steps: int


class EstopPressed(Incident, frozen=True, kw_only=True, tag="estop"):
    """The emergency stop is pressed, and released after `pressed_s`."""

    pressed_s: float


AnyIncident = Unplug | Reboot | BoardStall | HostStall | Noise | StuckSwitch | MissedSteps | EstopPressed


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults of one stub; `seed` draws what is left to chance."""

    seed: int = 0
    to_board: Damage = Damage()
    to_host: Damage = Damage()
    incidents: tuple[AnyIncident, ...] = ()


def load_faults(path: Path) -> Faults:
    """Faults of a TOML file. Raises ValueError naming the file and the invalid key."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"faults of {path} not read: it is larger than {MAX_FILE_BYTES:,} bytes.")
        return msgspec.toml.decode(data, type=Faults)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"faults of {path} not read: {error}. See parfocal/board/stub/faults.py.") from error
