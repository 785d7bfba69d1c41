"""Noise of the simulated camera."""

import functools
from statistics import NormalDist

import cv2
import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.optics import FloatArray

FULL_WELL_ELECTRONS = 12000.0
READ_NOISE_LEVELS = 0.8


class CameraNoise:
    """Photon and read noise of one colour channel. The same seed gives the same noise."""

    def __init__(self, seed: tuple[int, ...]) -> None:
        """Each channel needs a seed of its own."""
        self._rng = np.random.default_rng(seed)

    def exposed(self, transmission: FloatArray, light: float) -> UInt8Array:
        """The grey levels (h, w) that the camera delivers where `transmission` (h, w) of `light` levels arrives."""
        noise = transmission * np.float32(light * 255.0 / FULL_WELL_ELECTRONS)  # variance of the photons
        noise += np.float32(READ_NOISE_LEVELS**2)
        np.sqrt(noise, out=noise)
        noise *= self._normal(transmission.size).reshape(transmission.shape)
        # Adds, rounds and limits to 0..255 in one pass.
        return np.asarray(cv2.addWeighted(transmission, light, noise, 1.0, 0.0, dtype=cv2.CV_8U), np.uint8)

    def _normal(self, n: int) -> FloatArray:
        """The next `n` standard normal numbers, of 65,536 values: a third of the time of `standard_normal`."""
        words = self._rng.integers(0, 2**64, -(-n // 4), np.uint64)
        normal: FloatArray = _normal_quantiles().take(words.view(np.uint16)[:n])
        return normal


@functools.cache
def _normal_quantiles() -> FloatArray:
    """Quantiles of the standard normal distribution in the middles of 65,536 equal steps, float32."""
    steps = (np.arange(2**16) + 0.5) / 2**16
    return np.array(list(map(NormalDist().inv_cdf, steps.tolist())), np.float32)
