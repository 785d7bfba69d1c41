"""Where a picture holds most."""

import numpy as np
import pytest

from parfocal.edge.focus.picture.fullest import fullest_place
from parfocal.edge.pixels import UInt8Array

SIDE_PX = 672


def held_at(top: int, left: int, height: int, width: int) -> UInt8Array:
    """A picture of glass, of which one rectangle has texture."""
    pixels = np.full((1024, 1224, 3), 230, np.uint8)
    part = pixels[top : top + height, left : left + width]
    part[:] = np.random.default_rng(1).integers(60, 230, part.shape)
    return pixels


@pytest.mark.parametrize(
    ("rectangle", "place"),
    [
        ((0, 0, 400, 640), (0, 0)),
        ((624, 700, 400, 524), (352, 552)),  # as far to the corner as a square goes
        ((0, 640, 1024, 584), (0, 552)),  # a straight edge in the middle
    ],
)
def test_the_square_lies_where_the_tissue_is(
    rectangle: tuple[int, int, int, int], place: tuple[int, int]
) -> None:
    found = fullest_place(held_at(*rectangle), SIDE_PX, 2.5)
    assert found is not None
    assert np.abs(np.subtract(found, place)).max() <= 64
    assert found[0] + SIDE_PX <= 1024
    assert found[1] + SIDE_PX <= 1224


@pytest.mark.parametrize(("side_px", "is_enough"), [(192, False), (384, True)])
def test_a_corner_of_tissue_is_too_little_to_tell(side_px: int, is_enough: bool) -> None:
    assert (fullest_place(held_at(0, 0, side_px, side_px), SIDE_PX, 2.5) is not None) == is_enough


def test_a_middle_that_is_nearly_full_is_as_good_as_any_other() -> None:
    assert fullest_place(held_at(128, 256, 640, 640), SIDE_PX, 2.5) is None
    assert fullest_place(held_at(0, 0, 1024, 1224), SIDE_PX, 2.5) is None


def test_noise_and_shading_hold_nothing() -> None:
    shading = np.linspace(200.0, 240.0, 1224) + np.random.default_rng(2).normal(0.0, 1.0, (1024, 1224))
    pixels = np.repeat(np.uint8(shading)[..., None], 3, axis=2)
    assert fullest_place(pixels, SIDE_PX, 2.5) is None


def test_a_picture_that_no_square_fits_has_none() -> None:
    assert fullest_place(held_at(0, 0, 1024, 1224)[:600], SIDE_PX, 2.5) is None
    assert fullest_place(held_at(0, 0, 1024, 1224), 32, 2.5) is None
