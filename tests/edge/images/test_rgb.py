"""Image files are read as RGB of 8 bits."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from parfocal.edge.images.eight_bits import in_eight_bits
from parfocal.edge.images.rgb import rgb_from_file
from tests.edge.stacks.made import colours, scaled


def test_an_image_of_twelve_bits_is_scaled_to_eight_bits(tmp_path: Path) -> None:
    image = colours(4000, np.uint16)[0]
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    assert np.array_equal(rgb_from_file(tmp_path / "a.png"), scaled(image, 12))


@pytest.mark.parametrize(
    ("significant_bits", "bits"), [(0, 10), (8, 10), (12, 12), (16, 16), (17, 10), (-1, 10)]
)
def test_an_impossible_bit_depth_is_ignored(significant_bits: int, bits: int) -> None:
    assert in_eight_bits([np.full((2, 2, 3), 1000, np.uint16)], significant_bits)[1] == bits


def test_eight_bits_stay_as_they_are() -> None:
    image = colours()[0].astype(np.uint8)
    (same,), bits = in_eight_bits([image], 12)
    assert bits == 8
    assert np.array_equal(same, image)
