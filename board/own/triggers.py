"""Triggers of a camera, and the flashes that go with them."""

import msgspec


class TriggeredFrame(msgspec.Struct, frozen=True):
    """One trigger, of a strobe or at a position: its index, and its time on the host's clock."""

    index: int
    trigger_s: float


class TriggerPositions(msgspec.Struct, frozen=True):
    """Where to trigger: the first position, the way to the next one (negative: downwards), and how many, um."""

    first_um: float
    spacing_um: float
    count: int


class Flash(msgspec.Struct, frozen=True):
    """A flash: when it begins after its trigger, how long it lasts, s, and the duty of the lamp, 0..1."""

    delay_s: float
    width_s: float
    duty: float

    @property
    def middle_s(self) -> float:
        """From its trigger until the middle of the flash, s."""
        return self.delay_s + self.width_s / 2.0
