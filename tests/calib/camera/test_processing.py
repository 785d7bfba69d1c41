"""What a camera did to its pictures, told by their noise."""

import numpy as np
import pytest

from parfocal.calib.camera.processing import Processing, processing_of
from tools.rendering.cameras import Camera, processed


def found(camera: Camera, noise: float = 2.5) -> Processing:
    rng = np.random.default_rng(1)
    ground = 150.0 + 40.0 * np.sin(np.arange(320) / 40.0)[:, None, None] + np.zeros((320, 320, 3))
    pictures = [
        processed(np.rint(ground + noise * rng.standard_normal(ground.shape)).astype(np.uint8), camera)
        for _ in range(6)
    ]
    return processing_of([picture.astype(np.float64) for picture in pictures])


def named(one: Processing) -> set[str]:
    kinds = {"compressed", "demosaiced", "sharpened", "smoothed"}
    return {kind for kind in kinds if getattr(one, f"is_{kind}")}


@pytest.mark.parametrize(
    ("camera", "kinds"),
    [
        (Camera(), set()),
        (Camera(sharpening=0.3), {"sharpened"}),
        (Camera(demosaiced=True), {"demosaiced"}),
        (Camera(jpeg_quality=70, chroma="4:2:0"), {"compressed"}),
        (Camera(jpeg_quality=85, chroma="4:2:2"), {"compressed"}),
        (Camera(jpeg_quality=95), {"compressed"}),
        (Camera(demosaiced=True, sharpening=0.5, jpeg_quality=85, chroma="4:2:0"), {"compressed"}),
    ],
)
def test_each_kind_of_processing_is_told_from_the_others(camera: Camera, kinds: set[str]) -> None:
    one = found(camera)
    assert one.is_told
    assert named(one) == kinds


def test_noise_reduction_is_told() -> None:
    assert named(Processing(1.0, 0.5, 1.0, 1.0)) == {"smoothed"}


def test_without_noise_nothing_is_told() -> None:
    assert not found(Camera(), noise=0.1).is_told
    with pytest.raises(ValueError, match="two or more"):
        processing_of([np.zeros((16, 16, 3))])
