"""Cameras for synthetic stacks: shot noise, read noise and 8 bits, and what a cheap camera does to its pixels."""

import functools
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import cv2
import numpy as np

from tools.arrays import FloatArray, UInt8Array

Rng = np.random.Generator

FLICKER = 0.002  # relative, of the light between two shots
PLAIN_SHARE = 0.5  # of the cameras; each of the others has one or more faults
FAULT_SHARES = {
    "demosaiced": 0.25,
    "gamma": 0.3,
    "sharpened": 0.3,
    "gain": 0.2,
    "jpeg": 0.6,
    "pattern": 0.2,
    "dead": 0.2,
}
GAMMA = (0.45, 0.9)  # sRGB has about 0.45
SHARPENING = (0.2, 0.8)  # of the difference to a blurred image, added to the image
JPEG_QUALITY = (70, 95)
GAIN_STEP = 0.01  # exposure or lamp, from shot to shot
PATTERN = (0.002, 0.01)  # deviation of the sensitivity of pixels
DEAD_SHARE = 1e-4  # of the pixels
WHITE = (205.0, 248.0)  # grey levels
FULL_WELL_ELECTRONS = (7000.0, 30000.0)
READ_NOISE_LEVELS = (0.3, 1.2)
N_NORMAL = 2**23
DENOISED_PX, DENOISED_LEVELS, DENOISED_SIGMA_PX = 5, 12.0, 1.5  # of the bilateral filter of a webcam
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue, as YUV and JPEG weigh them

# Pixels in a row; samples of their colours; and further samples for the same pixels of the row below.
Chroma = Literal["4:4:4", "4:2:2", "4:2:0"]
_JPEG_SAMPLING: Final[dict[Chroma, int]] = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
# To uncompressed colours of fewer samples and back, as OpenCV decodes the frames of a USB camera.
_THERE_AND_BACK: Final[dict[Chroma, tuple[int, int]]] = {
    "4:2:2": (cv2.COLOR_RGB2YUV_YUYV, cv2.COLOR_YUV2RGB_YUYV),
    "4:2:0": (cv2.COLOR_RGB2YUV_I420, cv2.COLOR_YUV2RGB_I420),
}


@dataclass(frozen=True)
class Camera:
    """What a camera does to an image besides adding noise. The default does nothing.

    `gamma` is the exponent of its response, `saturation` multiplies the colours, `denoised` smooths what is not an
    edge, `sharpening` is the strength of an unsharp mask, `gain_step` the relative deviation of brightness between
    shots. `chroma` is the sampling of the colours; `jpeg_quality` is None without compression. `pattern` is the
    relative deviation of the sensitivity of pixels, `dead_share` the share of dark ones.
    """

    demosaiced: bool = False
    gamma: float = 1.0
    saturation: float = 1.0
    denoised: bool = False
    sharpening: float = 0.0
    gain_step: float = 0.0
    chroma: Chroma = "4:4:4"
    jpeg_quality: int | None = None
    pattern: float = 0.0
    dead_share: float = 0.0


def random_camera(rng: Rng) -> Camera:
    """Return a plain camera, or one with some of the faults of cheap ones."""
    return Camera() if rng.random() < PLAIN_SHARE else _faulty(rng)


def compressing_camera(rng: Rng) -> Camera:
    """Return a camera that compresses with colours at half of the sampling both ways; other faults at random.

    Webcams keep all rows of the colours (4:2:2, as USB has it), with which a single shot errs less. This is the worst.
    """
    quality = int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    return replace(_faulty(rng), jpeg_quality=quality, chroma="4:2:0")


def _faulty(rng: Rng) -> Camera:
    has = {fault: bool(rng.random() < share) for fault, share in FAULT_SHARES.items()}
    return Camera(
        demosaiced=has["demosaiced"],
        gamma=float(rng.uniform(*GAMMA)) if has["gamma"] else 1.0,
        sharpening=float(rng.uniform(*SHARPENING)) if has["sharpened"] else 0.0,
        gain_step=GAIN_STEP if has["gain"] else 0.0,
        jpeg_quality=int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1)) if has["jpeg"] else None,
        chroma="4:2:0" if rng.random() >= 0.5 and has["jpeg"] else "4:4:4",
        pattern=float(rng.uniform(*PATTERN)) if has["pattern"] else 0.0,
        dead_share=DEAD_SHARE if has["dead"] else 0.0,
    )


class Exposing:
    """A camera with the light, noise and sensor that all shots of one stack have in common."""

    def __init__(self, camera: Camera, shape_px: tuple[int, int], rng: Rng, binned: int = 1) -> None:
        """`shape_px` is (h, w) of the shots. Each pixel is the mean of 1 to `binned` pixels of the sensor."""
        self._camera, self._rng = camera, rng
        self._white = rng.uniform(*WHITE) * rng.uniform(0.9, 1.0, 3)
        self._full_well = float(np.exp(rng.uniform(*np.log(FULL_WELL_ELECTRONS))))
        if binned > 1:
            self._full_well *= float(np.exp(rng.uniform(0.0, np.log(binned))))
        self._read_noise = float(rng.uniform(*READ_NOISE_LEVELS))
        self._sensitivity: FloatArray | None = None
        if camera.pattern or camera.dead_share:
            self._sensitivity = 1.0 + np.float32(camera.pattern) * rng.standard_normal(shape_px, np.float32)
            self._sensitivity[rng.random(shape_px, np.float32) < camera.dead_share] = 0.0

    def shot(self, density: FloatArray) -> UInt8Array:
        """Return an 8-bit shot (h, w, 3) of an image of optical density (3, h, w)."""
        camera = self._camera
        flicker = 1.0 + (FLICKER + camera.gain_step) * self._rng.standard_normal()
        planes = [
            self._exposed(plane, float(white * flicker))
            for plane, white in zip(density, self._white, strict=True)
        ]
        return processed(np.asarray(cv2.merge(planes), np.uint8), camera)

    def _exposed(self, density: FloatArray, light: float) -> UInt8Array:
        """Return the grey levels (h, w) of one colour, of which `light` is the background's."""
        signal = np.asarray(cv2.exp(np.negative(density)), np.float32)
        if self._sensitivity is not None:
            signal *= self._sensitivity
        noise = signal * np.float32(light * 255.0 / self._full_well)
        noise += np.float32(self._read_noise**2)
        np.sqrt(noise, out=noise)
        first = int(self._rng.integers(0, N_NORMAL - noise.size))
        noise *= _normal()[first : first + noise.size].reshape(noise.shape)
        gamma = self._camera.gamma
        if gamma == 1.0:
            # Adds, rounds and limits to 0..255 in one pass.
            return np.asarray(cv2.addWeighted(signal, light, noise, 1.0, 0.0, dtype=cv2.CV_8U), np.uint8)
        signal *= np.float32(light / 255.0)
        signal += noise / np.float32(255.0)
        np.clip(signal, 0.0, 1.0, out=signal)
        return np.asarray(np.rint(255.0 * signal ** np.float32(gamma)), np.uint8)


@functools.cache
def _normal() -> FloatArray:
    """Return standard normal numbers: each shot takes a part, which is ten times as fast as new ones."""
    return np.random.default_rng(1).standard_normal(N_NORMAL, np.float32)


def processed(shot: UInt8Array, camera: Camera) -> UInt8Array:
    """Return a shot (h, w, 3) as the camera delivers it: demosaiced, smoothed, sharpened, compressed."""
    if camera.demosaiced:
        mosaic = shot[..., 1].copy()
        mosaic[::2, ::2] = shot[::2, ::2, 0]
        mosaic[1::2, 1::2] = shot[1::2, 1::2, 2]
        shot = _uint8(cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB))
    if camera.saturation != 1.0:
        grey = (shot.astype(np.float32) @ LUMINANCE)[..., None]
        shot = _uint8(np.clip(np.rint(grey + np.float32(camera.saturation) * (shot - grey)), 0.0, 255.0))
    if camera.denoised:
        shot = _uint8(cv2.bilateralFilter(shot, DENOISED_PX, DENOISED_LEVELS, DENOISED_SIGMA_PX))
    if camera.sharpening:
        blurred = cv2.GaussianBlur(shot, (0, 0), 1.0)
        shot = _uint8(cv2.addWeighted(shot, 1.0 + camera.sharpening, blurred, -camera.sharpening, 0.0))
    if camera.jpeg_quality is not None:
        return _compressed(shot, camera.jpeg_quality, camera.chroma)
    if camera.chroma == "4:4:4":
        return shot
    there, back = _THERE_AND_BACK[camera.chroma]
    return _uint8(cv2.cvtColor(cv2.cvtColor(shot, there), back))


def _compressed(shot: UInt8Array, quality: int, chroma: Chroma) -> UInt8Array:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _JPEG_SAMPLING[chroma]]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(shot, cv2.COLOR_RGB2BGR), options)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise RuntimeError("OpenCV cannot decode a JPEG that it encoded")
    return _uint8(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def _uint8(pixels: np.ndarray[Any, np.dtype[Any]]) -> UInt8Array:
    return pixels.astype(np.uint8, copy=False)
