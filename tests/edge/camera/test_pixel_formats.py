"""Pixel formats of GenICam cameras as RGB."""

import numpy as np
import pytest

from parfocal.edge.camera.pixel_formats import rgb_from_bytes
from parfocal.edge.errors import CameraFailed

COLOUR = (200, 120, 40)  # different in each channel: a swapped pattern shows


@pytest.mark.parametrize(
    ("pixel_format", "rows"),
    [
        ("BayerRG8", ("RG", "GB")),
        ("BayerGR8", ("GR", "BG")),
        ("BayerGB8", ("GB", "RG")),
        ("BayerBG8", ("BG", "GR")),
    ],
)
def test_a_bayer_pattern_of_one_colour_becomes_that_colour(pixel_format: str, rows: tuple[str, str]) -> None:
    of_letter = dict(zip("RGB", COLOUR, strict=True))
    mosaic = np.tile(np.array([[of_letter[c] for c in row] for row in rows], np.uint8), (3, 4))
    pixels = rgb_from_bytes(mosaic.tobytes(), pixel_format, 8, 6)
    assert pixels.shape == (6, 8, 3)
    assert (pixels[2:4, 2:6] == COLOUR).all()


def test_rgb_is_kept_grey_is_repeated_and_data_after_the_picture_are_left_out() -> None:
    data = bytes(range(24)) + b"chunk"
    assert rgb_from_bytes(data, "RGB8", 4, 2).tobytes() == data[:24]
    assert (rgb_from_bytes(data, "Mono8", 4, 2)[..., 1].ravel() == range(8)).all()


def test_a_frame_that_is_too_short_is_an_error() -> None:
    with pytest.raises(CameraFailed, match="a frame of 10 bytes, not of 24"):
        rgb_from_bytes(bytes(10), "RGB8", 4, 2)
