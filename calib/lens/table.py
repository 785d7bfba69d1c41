"""The curve of a tunable lens, as the store keeps it."""

from itertools import pairwise
from typing import Annotated

import msgspec

from parfocal.calib.value import Text

Current = Annotated[float, msgspec.Meta(ge=-1000.0, le=1000.0)]  # mA
Height = Annotated[float, msgspec.Meta(ge=-1e4, le=1e4)]  # um


class LensTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The curve of a tunable lens: `heights_um` ascend, `currents_ma` ascend or descend with them.

    `lens` is the one that it was measured on: "board", or driver and serial number.
    """

    lens: Text
    currents_ma: Annotated[tuple[Current, ...], msgspec.Meta(min_length=2, max_length=1000)]
    heights_um: Annotated[tuple[Height, ...], msgspec.Meta(min_length=2, max_length=1000)]

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        if len(self.currents_ma) != len(self.heights_um):
            raise ValueError(
                f"currents_ma has {len(self.currents_ma)} numbers and heights_um {len(self.heights_um)}: "
                "it must be as many"
            )
        steps = [high - low for low, high in pairwise(self.currents_ma)]
        if min(high - low for low, high in pairwise(self.heights_um)) <= 0.0:
            raise ValueError("heights_um must ascend")
        if not (min(steps) > 0.0 or max(steps) < 0.0):
            raise ValueError("currents_ma must ascend or descend all the way")
