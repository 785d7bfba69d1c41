"""A measured value of one instrument."""

import math
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Literal

import msgspec

LONGEST_TEXT = 1000

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]
# What corrects a model, from simple to elaborate: nothing, gain and offset, the condenser, a head taught on stacks.
Level = Literal["shipped", "line", "condenser", "head"]


class UsedCalibration(msgspec.Struct, frozen=True):
    """The name of a calibration in what was made with it: a digest of its values, and when the last was measured."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    measured_at: Annotated[datetime, msgspec.Meta(tz=True)]

    def __str__(self) -> str:
        """Both, as in messages: "3f2a90c17b5e of 2026-11-26"."""
        return f"{self.id} of {self.measured_at:%Y-%m-%d}"


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value with its uncertainty and its origin. Its unit is in the name under which it is kept: `z_play_um`.

    `uncertainty` is half the width of the 95 % interval, in the same unit.
    `raw` is the name of the file, in the folder of the store, that holds what the value was computed from.
    """

    value: float
    uncertainty: float
    measured_at: Annotated[datetime, msgspec.Meta(tz=True)]
    method: Text
    program_version: Text
    raw: Text

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        if not math.isfinite(self.value):
            raise ValueError(f"value = {self.value}: it must be a finite number")
        if not 0.0 <= self.uncertainty < math.inf:
            raise ValueError(f"uncertainty = {self.uncertainty}: it must be a finite number, 0 or more")
        if PurePath(self.raw).name != self.raw:
            raise ValueError(f"raw = {self.raw!r:.80}: it must be the name of a file beside this one")

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest value that the measurement supports, 95 %."""
        return self.value - self.uncertainty, self.value + self.uncertainty
