"""What stacks show of a model's inputs, and what is missing."""

import msgspec
import numpy as np
import pytest

from parfocal.calib.models.coverage import DYES, Seen, coverage_of, dyes_of, z_bin

RANGE_UM = 10.0
EVERYWHERE = (-8.0, -4.0, 0.0, 4.0, 8.0)
TWO_DYES = (0.0, 0.6, 0.0, 0.0, 0.0, 0.4)
ENOUGH = [Seen(EVERYWHERE, TWO_DYES)] * 6


def test_stacks_that_show_enough_have_nothing_missing() -> None:
    found = coverage_of(ENOUGH, RANGE_UM)
    assert (found.n_stacks, found.stacks_at, found.too_little) == (6, (6, 6, 6, 6, 6), ())
    assert found.dyes["violet"] == pytest.approx(0.4)
    assert [z_bin(um, RANGE_UM) for um in (-10.0, -6.1, -5.9, 9.9, 10.0)] == [0, 0, 1, 4, 4]


@pytest.mark.parametrize(
    ("stacks", "told"),
    [
        (ENOUGH[:5], "fields: 5 stacks with a clear focus, 6 or more are needed"),
        (
            [*ENOUGH[:3], *[Seen(EVERYWHERE[:4], TWO_DYES)] * 3],
            "z: 3 stacks at +6.0 to +10.0 um from the focus, 4 or more are needed",
        ),
        (
            [Seen(EVERYWHERE, (0.0, 0.0, 0.04, 0.0, 0.0, 0.96))] * 6,
            "stain: only violet is seen; 2 colours or more are needed",
        ),
        ([Seen(EVERYWHERE, (0.0,) * 6)] * 6, "stain: only glass is seen; 2 colours or more are needed"),
    ],
)
def test_what_is_missing_is_named(stacks: list[Seen], told: str) -> None:
    assert coverage_of(stacks, RANGE_UM).too_little == (told,)
    assert len(coverage_of([], RANGE_UM).too_little) == 1 + 5 + 1
    assert msgspec.json.encode(coverage_of(stacks, RANGE_UM))


@pytest.mark.parametrize(
    ("colour", "dye"),
    [
        ((230, 130, 170), "red"),  # eosin
        ((150, 95, 60), "brown"),  # DAB
        ((90, 110, 190), "blue"),  # haematoxylin of IHC
        ((120, 70, 170), "violet"),  # haematoxylin of H&E
        ((80, 160, 90), "green"),
        ((120, 120, 120), "grey"),
    ],
)
def test_dyes_have_the_names_of_their_colours(colour: tuple[int, int, int], dye: str) -> None:
    pixels = np.full((20, 20, 3), 240, np.uint8)
    assert dyes_of(pixels) == (0.0,) * len(DYES)
    pixels[:10] = colour
    assert dyes_of(pixels)[DYES.index(dye)] == 1.0
