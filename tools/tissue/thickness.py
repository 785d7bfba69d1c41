"""The third dimension of an object: thin layers at their own heights, with density and phase."""

from dataclasses import dataclass

import cv2
import numpy as np

from tools.arrays import FloatArray
from tools.tissue.textures import UM_PER_PX, Rng

# Radians of phase per unit of optical density, by share of the objects. 0.4 to 0.5 was measured on a blood smear. A
# medium of nearly the stain's refractive index leaves little of it, and one of a higher index reverses it.
PHASE_PER_DENSITY_RAD = ((0.1, 0.8), (-0.1, 0.1), (-0.4, -0.1))
PHASE_SHARES = (0.75, 0.13, 0.12)
UNSTAINED_SHARE = 0.1  # of the objects, with phase where nothing absorbs: unstained cells, mounting medium
UNSTAINED_RAD = (0.05, 0.4)
MAX_THICKNESS_UM = 4.0
MAX_RISE_UM = 3.3  # from side to side of a tilted object, whatever its size


@dataclass(frozen=True)
class Layer:
    """A thin layer of an object: density float32 (3, s, s), phase float32 (s, s), and height above the focus."""

    height_um: float
    density: FloatArray
    phase_rad: FloatArray


def random_layers(density: FloatArray, phase_per_density_rad: float | None, rng: Rng) -> list[Layer]:
    """Return the object as layers: flat, thick with up to three layers, or tilted. `density` is (3, s, s).

    The focus is the mean height of its mass. Phase follows the density by `phase_per_density_rad`, or at random if that
    is None; with 0 the object only absorbs.
    """
    phase_rad = _random_phase(density, rng)
    if phase_per_density_rad is not None:
        phase_rad = density[1] * np.float32(phase_per_density_rad)
    kind = rng.choice(["flat", "thick", "tilted"], p=[0.45, 0.35, 0.2])
    if kind == "flat":
        return [Layer(0.0, density, phase_rad)]
    if kind == "thick":
        shares = _clouds(density.shape[1], int(rng.integers(2, 4)), rng)
        thickness_um = float(rng.uniform(0.3, MAX_THICKNESS_UM))
        heights_um = (thickness_um * np.linspace(-0.5, 0.5, len(shares))).astype(np.float32)
    else:
        shares, heights_um = _tilted(density.shape[1], rng)
    mass = np.array([float((s * density[1]).sum()) for s in shares])
    middle_um = float((heights_um * mass).sum() / max(mass.sum(), 1e-6))
    return [
        Layer(float(h) - middle_um, (density * s).astype(np.float32), (phase_rad * s).astype(np.float32))
        for h, s in zip(heights_um, shares, strict=True)
    ]


def _random_phase(density: FloatArray, rng: Rng) -> FloatArray:
    """Return a phase that follows the density, in every second object with an additional random part."""
    range_rad = PHASE_PER_DENSITY_RAD[int(rng.choice(len(PHASE_SHARES), p=PHASE_SHARES))]
    phase_rad = density[1] * np.float32(rng.uniform(*range_rad))
    if rng.random() < 0.5:
        own = _cloud(len(phase_rad), (0.8, 4.0), rng)
        present = np.clip(density[1] / max(float(np.percentile(density[1], 95)), 1e-3), 0.0, 1.0)
        phase_rad = phase_rad + np.float32(rng.uniform(0.02, 0.15)) * own * present
    if rng.random() < UNSTAINED_SHARE:
        own = np.clip(_cloud(len(phase_rad), (3.0, 15.0), rng) - np.float32(rng.uniform(-0.5, 1.0)), 0.0, 2.0)
        phase_rad = phase_rad + np.float32(rng.uniform(*UNSTAINED_RAD)) * own
    return np.asarray(phase_rad, np.float32)


def _cloud(side: int, size_px: tuple[float, float], rng: Rng) -> FloatArray:
    """Return smooth noise (side, side) with mean 0 and deviation 1."""
    noise = rng.standard_normal((side, side)).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), rng.uniform(*size_px))
    cloud: FloatArray = (field / max(float(field.std()), 1e-6)).astype(np.float32)
    return cloud


def _clouds(side: int, n: int, rng: Rng) -> FloatArray:
    """Return the shares (n, side, side) of the layers, which sum to 1 everywhere."""
    scores = np.stack([_cloud(side, (4.0, 30.0), rng) for _ in range(n)]) * np.float32(rng.uniform(0.5, 3.0))
    weights = np.exp(scores - scores.max(axis=0))
    shares: FloatArray = (weights / weights.sum(axis=0)).astype(np.float32)
    return shares


def _tilted(side: int, rng: Rng) -> tuple[FloatArray, FloatArray]:
    """Return the shares (3, side, side) and heights, in um, of a plane that rises from side to side."""
    heading = rng.uniform(0.0, 2.0 * np.pi)
    across = (np.arange(side) - side / 2.0) * UM_PER_PX
    rise = np.cos(heading) * across[None, :] + np.sin(heading) * across[:, None]
    half_um = float(np.abs(rise).max())
    position = rise / half_um  # -1 .. 1; linear shares of three heights give the exact mean height
    shares = np.stack([np.clip(-position, 0, 1), 1 - np.abs(position), np.clip(position, 0, 1)])
    max_tilt = MAX_RISE_UM / (side * UM_PER_PX)
    heights_um = np.array([-1.0, 0.0, 1.0]) * half_um * rng.uniform(0.0, max_tilt)
    return shares.astype(np.float32), heights_um.astype(np.float32)
