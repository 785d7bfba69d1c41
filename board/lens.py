"""The seam of a tunable lens, and its curve: which current does what a move of the stage would do."""

from __future__ import annotations

import bisect
from itertools import pairwise
from typing import Protocol

import msgspec


class Lens(Protocol):
    """A lens whose focus a current changes.

    `name` tells one lens from another: "board", or driver and serial number. `range_ma`: lowest and highest current
    that its driver gives.
    """

    @property
    def name(self) -> str:
        """Which lens it is."""
        ...

    @property
    def range_ma(self) -> tuple[float, float]:
        """Lowest and highest current, mA."""
        ...

    def __call__(self, current_ma: float) -> None:
        """Set the current, mA. Raises ValueError outside `range_ma` (nothing was sent), BoardError."""
        ...

    def temperature_c(self) -> float | None:
        """Temperature of the lens, degrees Celsius; None if it has no sensor. Raises BoardError."""
        ...


class LensCurve(msgspec.Struct, frozen=True):
    """What a current does, on the flank on which heights rise: pairs of mA and um, straight between them.

    `heights_um` ascend: how far the stage would have to rise for the same picture, 0 at no current. `currents_ma`
    ascend or descend with them.
    """

    currents_ma: tuple[float, ...]
    heights_um: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for a curve without an inverse."""
        if len(self.currents_ma) != len(self.heights_um) or len(self.heights_um) < 2:
            raise ValueError(
                f"{len(self.currents_ma)} currents for {len(self.heights_um)} heights: it must be as many, 2 or more"
            )
        is_rising = self.currents_ma[-1] > self.currents_ma[0]
        if any(high <= low for low, high in pairwise(self.heights_um)) or any(
            (high > low) != is_rising or high == low for low, high in pairwise(self.currents_ma)
        ):
            raise ValueError("the curve of a lens must rise or fall all the way")

    @property
    def range_um(self) -> tuple[float, float]:
        """Lowest and highest height that the currents give, um."""
        return self.heights_um[0], self.heights_um[-1]

    def ma_from_um(self, height_um: float) -> float:
        """The current for a height. Raises ValueError outside `range_um`."""
        low_um, high_um = self.range_um
        if not low_um <= height_um <= high_um:
            raise ValueError(f"height of {height_um:.2f} um: the lens reaches {low_um:.2f}..{high_um:.2f} um")
        k = min(bisect.bisect_right(self.heights_um, height_um), len(self.heights_um) - 1)
        share = (height_um - self.heights_um[k - 1]) / (self.heights_um[k] - self.heights_um[k - 1])
        return self.currents_ma[k - 1] + share * (self.currents_ma[k] - self.currents_ma[k - 1])
