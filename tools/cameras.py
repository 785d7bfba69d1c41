"""Cameras for synthetic stacks: shot noise, read noise and 8 bits, and what a cheap camera does to its pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from tools.arrays import FloatArray, UInt8Array

Rng = np.random.Generator

FLICKER = 0.002  # relative, of the light between two shots
PLAIN_SHARE = 0.5  # of the cameras; each of the others has one or more faults
FAULT_SHARES = {"demosaiced": 0.25, "gamma": 0.3, "sharpened": 0.3, "gain": 0.2, "jpeg": 0.6}
GAMMA = (0.45, 0.9)  # sRGB has about 0.45
SHARPENING = (0.2, 0.8)  # of the difference to a blurred image, added to the image
JPEG_QUALITY = (70, 95)
GAIN_STEP = 0.01  # exposure or lamp, from shot to shot


@dataclass(frozen=True)
class Camera:
    """What a camera does to an image besides adding noise. The default does nothing.

    `gamma` is the exponent of its response, `sharpening` the strength of an unsharp mask, `gain_step` the relative
    deviation of brightness between shots. `jpeg_quality` is None without compression; `full_chroma` is 4:4:4 instead of
    4:2:0.
    """

    demosaiced: bool = False
    gamma: float = 1.0
    sharpening: float = 0.0
    gain_step: float = 0.0
    jpeg_quality: int | None = None
    full_chroma: bool = False


def random_camera(rng: Rng) -> Camera:
    """Return a plain camera, or one with some of the faults of cheap ones."""
    if rng.random() < PLAIN_SHARE:
        return Camera()
    has = {fault: bool(rng.random() < share) for fault, share in FAULT_SHARES.items()}
    return Camera(
        demosaiced=has["demosaiced"],
        gamma=float(rng.uniform(*GAMMA)) if has["gamma"] else 1.0,
        sharpening=float(rng.uniform(*SHARPENING)) if has["sharpened"] else 0.0,
        gain_step=GAIN_STEP if has["gain"] else 0.0,
        jpeg_quality=int(rng.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1)) if has["jpeg"] else None,
        full_chroma=bool(rng.random() < 0.5),
    )


def shots_of(densities: FloatArray, camera: Camera, rng: Rng) -> list[UInt8Array]:
    """Return 8-bit shots (h, w, 3) of images of optical density (n, 3, h, w)."""
    white = rng.uniform(205.0, 248.0) * rng.uniform(0.9, 1.0, size=(1, 3, 1, 1))
    full_well = np.exp(rng.uniform(np.log(7000.0), np.log(30000.0)))
    read_noise = rng.uniform(0.3, 1.2)
    flicker = 1.0 + (FLICKER + camera.gain_step) * rng.standard_normal((len(densities), 1, 1, 1))
    signal = (white * flicker * np.exp(-densities)).astype(np.float32)
    deviation = np.sqrt(np.maximum(signal, 0.0) * 255.0 / full_well + read_noise**2).astype(np.float32)
    noisy = np.clip(signal + deviation * rng.standard_normal(signal.shape, dtype=np.float32), 0.0, 255.0)
    if camera.gamma != 1.0:
        noisy = 255.0 * (noisy / 255.0) ** np.float32(camera.gamma)
    shots = np.rint(noisy).astype(np.uint8).transpose(0, 2, 3, 1)
    return [processed(np.ascontiguousarray(shot), camera) for shot in shots]


def processed(shot: UInt8Array, camera: Camera) -> UInt8Array:
    """Return a shot (h, w, 3) as the camera delivers it: demosaiced, sharpened, compressed."""
    if camera.demosaiced:
        mosaic = shot[..., 1].copy()
        mosaic[::2, ::2] = shot[::2, ::2, 0]
        mosaic[1::2, 1::2] = shot[1::2, 1::2, 2]
        shot = cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2RGB).astype(np.uint8, copy=False)
    if camera.sharpening:
        blurred = cv2.GaussianBlur(shot, (0, 0), 1.0)
        shot = cv2.addWeighted(shot, 1.0 + camera.sharpening, blurred, -camera.sharpening, 0.0).astype(
            np.uint8, copy=False
        )
    if camera.jpeg_quality is None:
        return shot
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if camera.full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(shot, cv2.COLOR_RGB2BGR), options)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise RuntimeError("OpenCV cannot decode a JPEG that it encoded")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
