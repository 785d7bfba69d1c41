"""Samples as large as a frame: density and phase in thin layers, with the height of the focus at every place."""

from dataclasses import dataclass

import cv2
import numpy as np

from tools.arrays import FloatArray
from tools.tissue.textures import Rng

# Radians of phase per unit of optical density, by share of the objects. 0.4 to 0.5 was measured on a blood smear. A
# medium of nearly the stain's refractive index leaves little of it, and one of a higher index reverses it. Red cells
# are lenses of 1 to 3 rad at their density; beyond about 1 rad the images are no longer exact (`docs/optics.md`).
PHASE_PER_DENSITY_RAD = ((0.1, 0.8), (-0.1, 0.1), (-0.4, -0.1), (0.8, 1.6))
PHASE_SHARES = (0.71, 0.12, 0.11, 0.06)
BY_COLOUR_SHARE = 0.4  # of the samples, in which the phase of a colour follows the density of that colour
OWN_SHARE, OWN_RAD = 0.5, (0.02, 0.15)  # of the objects, with phase of finer structure than their density
USUAL_PHASE_RAD = (0.2, 0.4)  # per unit of optical density, of a thin stained smear
UNSTAINED_SHARE = 0.1  # of the objects, with phase where nothing absorbs: unstained cells, mounting medium
UNSTAINED_RAD = (0.05, 0.4)
DUST_SHARE = 0.15  # of the objects, with a few dark specks at some height

KINDS = ("flat", "thick", "tilted")
KIND_SHARES = (0.45, 0.35, 0.2)
LAYERS = 3
# From the lowest to the highest layer. Sections are 3 to 5 um thick under every objective.
THICKNESS_UM = (0.3, 4.0)
MAX_DUST = 6

Region = tuple[slice, slice]


@dataclass(frozen=True)
class Sample:
    """Thin layers of one size.

    Attributes:
        density: optical density of each layer, float32 (layers, 3, s, s).
        phase_rad: phase of each layer, the same for all colours, float32 (layers, s, s).
        phase_per_density_rad: in addition, phase per unit of optical density of each colour, as in the virtual slide.
        height_um: height of each layer, float32 (layers,).
        groups: where the objects are, and which group each is from.
    """

    density: FloatArray
    phase_rad: FloatArray
    phase_per_density_rad: float
    height_um: FloatArray
    groups: tuple[tuple[Region, str], ...]

    def focus_um(self, place: Region) -> float:
        """Return the stage height at which a part is in focus: below zero where the middle of its mass is high."""
        rows, columns = place
        mass = self.density[:, 1, rows, columns].sum(axis=(1, 2), dtype=np.float64)
        return -float(self.height_um @ mass / max(float(mass.sum()), 1e-6))

    def group(self, row: int, column: int) -> str:
        """Return the group of the object at a pixel."""
        for (rows, columns), name in self.groups:
            if rows.start <= row < rows.stop and columns.start <= column < columns.stop:
                return name
        raise ValueError(f"no object at row {row}, column {column}")


def flat_sample(density: FloatArray, group: str, phase_per_density_rad: float) -> Sample:
    """Return one object (3, s, s) without thickness, as the virtual slide has it."""
    whole = (slice(0, density.shape[1]), slice(0, density.shape[2]))
    none = np.zeros((1, *density.shape[1:]), np.float32)
    return Sample(density[None], none, phase_per_density_rad, np.zeros(1, np.float32), ((whole, group),))


def usual_sample(density: FloatArray, group: str, rng: Rng) -> Sample:
    """Return one object (3, s, s) as most of a thin smear is: flat, and its phase follows its density."""
    return flat_sample(density, group, float(rng.uniform(*USUAL_PHASE_RAD)))


def random_sample(
    objects: list[tuple[str, FloatArray]], rng: Rng, phase_per_density_rad: float | None = None
) -> Sample:
    """Return one object, or four beside each other, of random thickness and phase.

    Each is flat, thick or tilted by itself. `objects` are their groups and densities (3, side, side), all of one size.
    With `phase_per_density_rad` the phase follows the density and nothing else.
    """
    per_side = {1: 1, 4: 2}[len(objects)]
    side_px = objects[0][1].shape[1]
    kinds = rng.choice(KINDS, len(objects), p=KIND_SHARES)
    n = 1 if (kinds == "flat").all() else LAYERS
    height_um = np.linspace(-0.5, 0.5, n) * rng.uniform(*THICKNESS_UM) if n > 1 else np.zeros(1)
    density = np.zeros((n, 3, per_side * side_px, per_side * side_px), np.float32)
    phase_rad = np.zeros((n, *density.shape[2:]), np.float32)
    groups: list[tuple[Region, str]] = []
    by_colour_rad = phase_per_density_rad
    if phase_per_density_rad is None and rng.random() < BY_COLOUR_SHARE:
        by_colour_rad = random_phase_per_density_rad(rng)
    for number, ((group, whole), kind) in enumerate(zip(objects, kinds, strict=True)):
        row, column = divmod(number, per_side)
        rows, columns = (slice(k * side_px, (k + 1) * side_px) for k in (row, column))
        dusty = with_dust(whole, rng)
        phase = np.zeros(dusty.shape[1:], np.float32)
        if phase_per_density_rad is None:
            slope_rad = random_phase_per_density_rad(rng) if by_colour_rad is None else 0.0
            phase = random_phase(dusty, slope_rad, rng)
        for layer, share in enumerate(_shares(str(kind), n, side_px, rng)):
            density[layer, :, rows, columns] = dusty * share
            phase_rad[layer, rows, columns] = phase * share
        groups.append(((rows, columns), group))
    return Sample(density, phase_rad, by_colour_rad or 0.0, height_um.astype(np.float32), tuple(groups))


def random_phase_per_density_rad(rng: Rng) -> float:
    """Return the phase per unit of optical density of one object, mostly positive."""
    return float(rng.uniform(*PHASE_PER_DENSITY_RAD[int(rng.choice(len(PHASE_SHARES), p=PHASE_SHARES))]))


def random_phase(density: FloatArray, per_density_rad: float, rng: Rng) -> FloatArray:
    """Return the phase (s, s) of an object of density (3, s, s), in rad.

    It follows the density; in every second object with an additional random part, and in some where nothing absorbs.
    """
    phase_rad = density[1] * np.float32(per_density_rad)
    side_px = len(phase_rad)
    if rng.random() < OWN_SHARE:
        present = np.clip(density[1] / max(float(np.percentile(density[1, ::7, ::7], 95)), 1e-3), 0.0, 1.0)
        phase_rad += np.float32(rng.uniform(*OWN_RAD)) * _cloud(side_px, (0.8, 4.0), rng) * present
    if rng.random() < UNSTAINED_SHARE:
        bodies = np.clip(_cloud(side_px, (3.0, 15.0), rng) - np.float32(rng.uniform(-0.5, 1.0)), 0.0, 2.0)
        phase_rad += np.float32(rng.uniform(*UNSTAINED_RAD)) * bodies
    return np.asarray(phase_rad, np.float32)


def with_dust(density: FloatArray, rng: Rng) -> FloatArray:
    """Return a density (3, s, s), some with a few dark specks."""
    if rng.random() >= DUST_SHARE:
        return density
    canvas = np.zeros(density.shape[1:], np.float32)
    for _ in range(int(rng.integers(1, MAX_DUST + 1))):
        centre = tuple(int(k) for k in rng.integers(0, len(canvas), 2))
        axes = tuple(int(k) for k in rng.integers(1, 9, 2))
        cv2.ellipse(
            canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.4, 1.5)), -1
        )
    dusty: FloatArray = np.maximum(density, cv2.GaussianBlur(canvas, (0, 0), 0.7)).astype(
        np.float32, copy=False
    )
    return dusty


def _shares(kind: str, n: int, side_px: int, rng: Rng) -> FloatArray:
    """Return the share of an object that each of `n` layers has, float32 (n, s, s) or (n, 1, 1)."""
    if kind == "flat":
        alone = np.zeros((n, 1, 1), np.float32)
        alone[int(rng.integers(n))] = 1.0
        return alone
    if kind == "thick":
        scores = np.stack([_cloud(side_px, (4.0, 30.0), rng) for _ in range(n)])
        scores *= np.float32(rng.uniform(0.5, 3.0))
        weights = np.exp(scores - scores.max(axis=0))
        shares: FloatArray = (weights / weights.sum(axis=0)).astype(np.float32)
        return shares
    heading = rng.uniform(0.0, 2.0 * np.pi)
    across = np.arange(side_px, dtype=np.float32) - side_px / 2.0
    rise = np.float32(np.cos(heading)) * across[None, :] + np.float32(np.sin(heading)) * across[:, None]
    position = rise * np.float32(rng.uniform(0.3, 1.0) / np.abs(rise).max())
    # Linear shares of three heights give the exact mean height.
    rising: FloatArray = np.stack([np.clip(-position, 0, 1), 1 - np.abs(position), np.clip(position, 0, 1)])
    return rising


def _cloud(side_px: int, size_px: tuple[float, float], rng: Rng) -> FloatArray:
    """Return smooth noise (s, s) with mean 0 and deviation 1."""
    noise = rng.standard_normal((side_px, side_px), dtype=np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), rng.uniform(*size_px))
    cloud: FloatArray = (field / max(float(field.std()), 1e-6)).astype(np.float32)
    return cloud
