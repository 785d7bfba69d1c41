"""What ends a field early: each fault with its reason, at a safe height, and nothing goes up afterwards."""

import itertools
import re

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.errors import BoardError
from parfocal.edge.camera.frame import Frame
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus.picture.camera_truth import detail_ratio, doubt_about_pair, is_frozen
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.focus.picture.sharpness import halved_grey
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.simscope.bench import sample_image
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.edge.scope import FOCUS_Z_UM, Scope

PIVOT_UM = FOCUS_Z_UM + 3.0


class Failing:
    """A camera at which something fails from its frame number `good` on."""

    def __init__(self, scope: Scope, fault: str, good: int) -> None:
        self._camera, self._scope, self._fault, self._good = scope.camera, scope, fault, good
        self._n, self._kept = 0, np.zeros((0, 0, 3), np.uint8)
        self.failed_s: float | None = None

    def grab(self) -> Frame:
        frame, bench = self._camera.grab(), self._scope.bench
        if frame.exposure_start_s < self._scope.board.z._settled_s:
            return frame  # exposed on the way, and dropped
        self._n += 1
        if self._n <= self._good:
            self._kept = frame.pixels
            return frame
        if self.failed_s is None:
            self.failed_s = bench.clock.now_s()
        if self._fault == "unplugged":
            raise CameraFailed("the camera is gone")
        if self._fault == "stalled":
            bench.faulty.hold_up(60.0)
            return frame
        pixels = {"frozen": self._kept, "dark": frame.pixels // 100}.get(self._fault)
        return Frame(
            frame.exposure_start_s, lambda: np.full_like(frame.pixels, 255) if pixels is None else pixels
        )

    def close(self) -> None:
        self._camera.close()


@pytest.mark.parametrize(
    ("fault", "good", "strategy", "raised", "reason"),
    [
        ("unplugged", 1, "controller", CameraFailed, "the camera is gone"),
        ("frozen", 2, "controller", CameraFailed, "the picture is frozen"),
        ("dark", 2, "two-shot", FocusLost, "the picture is black.*check the lamp"),
        ("saturated", 1, "controller", FocusLost, "the picture is saturated"),
        ("stalled", 1, "two-shot", BoardError, "without an answer"),
    ],
)
def test_after_a_fault_nothing_moves_towards_the_objective(
    config: Config, fault: str, good: int, strategy: str, raised: type[Exception], reason: str
) -> None:
    scope = Scope(config)
    failing = Failing(scope, fault, good)
    scope.camera = failing  # type: ignore[assignment]
    focuser = scope.focuser() if strategy == "two-shot" else scope.controlled()
    with pytest.raises(raised, match=reason):
        focuser.focus(PIVOT_UM)
    assert failing.failed_s is not None
    now_s = scope.bench.clock.now_s()
    failed_um = scope.bench.true_um(failing.failed_s)[2]
    after_um = [
        scope.bench.true_um(float(at_s))[2]
        for at_s in np.arange(failing.failed_s, now_s, max(0.002, (now_s - failing.failed_s) / 500))
    ]
    assert max(after_um, default=failed_um) <= failed_um + 0.2
    assert scope.true_z_um() <= max(PIVOT_UM, failed_um if fault == "stalled" else 0.0) + 0.35


def spoiled(scope: Scope, kind: str) -> SimulatedCamera:
    """A camera of which the third picture is spoiled: the second of the first pair of the two-shot rule."""
    shown = itertools.count(1)

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        pixels = scope.sample.render(x_um, y_um, z_um, duty)
        if next(shown) != 3:
            return pixels
        if kind == "flicker":
            return np.asarray(pixels * np.float32(0.94), np.uint8)
        return smeared(pixels, 9)

    return SimulatedCamera(scope.bench, scope.bench.clock, scope.config.camera, render)


def smeared(pixels: NDArray[np.uint8], length_px: int) -> NDArray[np.uint8]:
    """The picture (h, w, 3) of a stage that moves along X during the exposure."""
    moved = [np.roll(pixels, k, axis=1).astype(np.float32) for k in range(length_px)]
    return np.asarray(np.mean(moved, axis=0), np.uint8)


@pytest.mark.parametrize(
    ("kind", "words"), [("flicker", r"flickers.* [56] %"), ("smear", "smeared by motion")]
)
def test_a_pair_that_lamp_or_motion_spoiled_is_taken_again_and_said(
    scope: Scope, kind: str, words: str
) -> None:
    scope.camera = spoiled(scope, kind)
    done = scope.focuser().focus(FOCUS_Z_UM + 1.0)
    assert (done.outcome, done.images) == ("focused", 6)
    assert abs(scope.error_um()) <= 0.35
    (remark,) = done.remarks
    assert re.search(words, remark)


@pytest.mark.parametrize("z_um", [-6.0, -1.0, 1.0, 6.0])
def test_defocus_alone_is_not_taken_for_flicker_or_motion(scope: Scope, z_um: float) -> None:
    first, second = (
        CentralPart(
            scope.sample.render(0.0, 0.0, FOCUS_Z_UM + at_um, scope.config.scan.lamp_duty), scope.config.focus
        )
        for at_um in (z_um - 2.0, z_um)
    )
    assert doubt_about_pair(first, second) is None


def test_pictures_are_frozen_only_if_every_pixel_is_the_same() -> None:
    one = np.random.default_rng(1).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    other = one.copy()
    assert is_frozen(one, other)
    other[7, 9, 1] += 1
    assert not is_frozen(one, other)
    assert not is_frozen(one, one[:, :40])


def test_detail_along_both_directions_is_even() -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (200, 200, 3)).astype(np.uint8)
    assert abs(detail_ratio(halved_grey(pixels))) < 0.05
    assert detail_ratio(halved_grey(smeared(pixels, 5))) < -0.5
    assert detail_ratio(halved_grey(np.full((20, 20, 3), 9, np.uint8))) == 0.0


def by_every_pixel(pixels: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Mean, share of white and detail ratio, as they are defined: without any short cut."""
    grey = halved_grey(pixels)
    across, down = (float(np.square(np.diff(grey, axis=axis)).mean()) for axis in (1, 0))
    return float(pixels.mean()), float((pixels >= 254).all(axis=2).mean()), float(np.log(across / down))


def test_checks_of_pictures_come_to_what_every_pixel_says() -> None:
    tissue = sample_image()[:448, :448]
    exposures = [np.clip(tissue * light, 0.0, 255.0) for light in (0.01, 0.03, 0.05, 1.0, 1.2, 3.0, 9.0)]
    shots = [light.astype(np.uint8) for light in exposures]
    shots += [smeared(tissue, 9), cv2.GaussianBlur(tissue, (0, 0), 3.0).astype(np.uint8)]
    parts = [CentralPart(pixels, FocusConfig()) for pixels in shots]
    truths = [by_every_pixel(pixels) for pixels in shots]
    for pixels, part, (mean, white, detail) in zip(shots, parts, truths, strict=True):
        assert part.mean_level == pytest.approx(mean)
        assert detail_ratio(part.halved_grey) == pytest.approx(detail, abs=1e-5)
        # A camera's frame is larger than what is looked at.
        frame = np.tile(pixels, (3, 3, 1))
        fault = str(exposure_fault(frame))
        assert ("black" in fault, "saturated" in fault) == (mean < 5.0, white > 0.9)
    for (one, at), (other, beside) in itertools.permutations(zip(parts, truths, strict=True), 2):
        doubted = abs(beside[0] / max(at[0], 1.0) - 1.0) > 0.03 or abs(beside[2] - at[2]) > 0.2
        assert (doubt_about_pair(one, other) is not None) == doubted
