"""The sampling of the colours of a JPEG, as libjpeg writes them, and what is not one."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.jpeg import chroma_of

WRITTEN = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def jpeg(chroma: str = "4:2:2", progressive: bool = False, channels: int = 3) -> bytes:
    """A JPEG of libjpeg, behind OpenCV."""
    pixels = np.arange(48 * 64 * channels, dtype=np.uint8).reshape(48, 64, channels)
    options = [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        WRITTEN[chroma],
        cv2.IMWRITE_JPEG_PROGRESSIVE,
        int(progressive),
    ]
    return cv2.imencode(".jpg", pixels, options)[1].tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("chroma", WRITTEN)
def test_the_sampling_is_the_one_it_was_written_with(chroma: str, progressive: bool) -> None:
    assert chroma_of(jpeg(chroma, progressive)) == chroma


def test_tables_may_stand_before_the_frame_header() -> None:
    whole = jpeg("4:2:0")
    at = whole.index(b"\xff\xc4")
    table = whole[at : at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big")]
    assert chroma_of(whole[:2] + table + whole[2:]) == "4:2:0"


def test_a_grey_picture_has_none() -> None:
    assert chroma_of(jpeg(channels=1)) is None


@given(st.binary(max_size=200))
def test_what_is_no_jpeg_has_none_and_raises_nothing(data: bytes) -> None:
    assert chroma_of(data) is None
    assert chroma_of(b"\xff\xd8" + data) in {None, *WRITTEN}


@given(st.integers(0, len(jpeg())))
def test_a_frame_cut_short_never_shows_another_sampling(n_bytes: int) -> None:
    assert chroma_of(jpeg()[:n_bytes]) in {None, "4:2:2"}
