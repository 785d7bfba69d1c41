"""Which shots are too dark or too bright to judge."""

import re

import numpy as np
import pytest

from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.pixels import UInt8Array


def shot(level: float, white_share: float, white: tuple[int, int, int] = (255, 254, 254)) -> UInt8Array:
    pixels = np.full((100, 80, 3), level, np.uint8)
    pixels[: round(100 * white_share)] = white
    return pixels


@pytest.mark.parametrize(
    ("pixels", "fault"),
    [
        (shot(4, 0.0), r"black \(mean 4\.0 of 255\)"),
        (shot(4, 0.01), None),
        (shot(5, 0.0), None),
        (shot(120, 0.90), None),
        (shot(120, 0.91), r"saturated \(91 % of it white\)"),
        (shot(120, 1.0, (255, 253, 255)), None),  # of a colour, and not white
        (shot(120, 1.0, (255, 255, 253)), None),
    ],
)
def test_a_shot_that_shows_nothing_is_told_from_one_that_is_dark_or_bright(
    pixels: UInt8Array, fault: str | None
) -> None:
    found = exposure_fault(pixels)
    if fault is None:
        assert found is None
    else:
        assert re.search(fault, str(found))
