"""Make training pairs with the virtual microscope's optics: ``python -m tools.synthesize --help``.

Each object is imaged under a random optical setting at several heights; every pair of shots ``delta`` apart is
prepared exactly as on the microscope and stored with its distance to focus. Shards are written atomically,
one after another, so that a run can be stopped and continued, and a training can read while it runs.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from parfocal.edge import prepare
from parfocal.edge.simscope.optics import Optics, radial_grid, transfer_profiles
from tools.sources import HeldOutObjects, TrainingObjects
from tools.textures import UM_PER_PX, FloatArray, Rng

Int8Array = NDArray[np.int8]

PATCH_PX = 224
MARGIN_PX = 48  # what defocus of 16 um at NA 0.75 smears in from outside the patch
SIDE_PX = PATCH_PX + 2 * MARGIN_PX
Z_STEP_UM = 0.25
REACH_UM = 14.0  # pairs go beyond the +-10 um that the model promises, so that far is recognised as far
PAIRS_PER_OBJECT = 6
PROFILE_REFINEMENT = 8
PAIRS_PER_SHARD = 192


@dataclass(frozen=True)
class Setting:
    """One optical setting with its transfer profiles on a grid of heights; profiles (n_z, 3, n_q)."""

    z_um: FloatArray
    absorption: torch.Tensor
    phase: torch.Tensor


def random_setting(rng: Rng, delta_um: float) -> Setting:
    """The reference objective varied by about 30 %, aberrations with fixed sign (facts/optics)."""
    reference = Optics()
    optics = replace(
        reference,
        na=0.75 * float(rng.uniform(0.97, 1.0)),
        condenser_sigma=float(rng.uniform(0.4, 0.8)),
        chromatic_shift_um=(
            0.3 * float(rng.uniform(0.7, 1.3)),
            0.05 * float(rng.standard_normal()),
            -0.3 * float(rng.uniform(0.7, 1.3)),
        ),
        w040_waves=float(np.clip(0.15 + 0.05 * rng.standard_normal(), 0.05, 0.25)),
    )
    reach_um = REACH_UM + delta_um + 3.0
    z_um = np.arange(-reach_um, reach_um + Z_STEP_UM / 2, Z_STEP_UM, dtype=np.float32)
    absorption, phase = transfer_profiles(optics, z_um)
    return Setting(z_um, torch.from_numpy(absorption), torch.from_numpy(phase))


class Renderer:
    """Images of one object at many heights, on a fixed grid of ``SIDE_PX``."""

    def __init__(self) -> None:
        index, fraction, pixel = radial_grid((SIDE_PX, SIDE_PX), UM_PER_PX)
        # Interpolating the short profiles eightfold and then picking the nearest sample costs a third of
        # interpolating at every point of the grid, and errs by less than the noise of the camera.
        self._nearest = torch.from_numpy(np.rint((index + fraction) * PROFILE_REFINEMENT).astype(np.int64))
        self._pixel = torch.from_numpy(pixel)
        fy = np.fft.fftfreq(SIDE_PX)[:, None]
        fx = np.fft.rfftfreq(SIDE_PX)[None, :]
        self._fy, self._fx = torch.from_numpy(fy.astype(np.float32)), torch.from_numpy(fx.astype(np.float32))

    def _transfer(self, profiles: torch.Tensor, setting: Setting, z_um: FloatArray) -> torch.Tensor:
        position = np.clip((z_um - setting.z_um[0]) / Z_STEP_UM, 0, len(setting.z_um) - 1.001)
        below = torch.from_numpy(np.floor(position).astype(np.int64))
        share = torch.from_numpy((position - np.floor(position)).astype(np.float32))[:, None, None]
        rows = profiles[below] * (1 - share) + profiles[below + 1] * share
        n_fine = (rows.shape[-1] - 1) * PROFILE_REFINEMENT + 1
        fine = torch.nn.functional.interpolate(rows, size=n_fine, mode="linear", align_corners=True)
        return fine[..., self._nearest]

    def densities(
        self,
        setting: Setting,
        layers: list[tuple[float, FloatArray, FloatArray]],
        z_um: FloatArray,
        shift_px: FloatArray,
    ) -> FloatArray:
        """Image density (n_z, 3, patch, patch) of layers ``(height_um, density (3, s, s), phase (s, s))``.

        ``shift_px`` (n_z, 2) moves each shot sideways: a stage never comes to rest at quite the same place.
        """
        spectrum = torch.zeros((len(z_um), 3, SIDE_PX, SIDE_PX // 2 + 1), dtype=torch.complex64)
        for height_um, density, phase in layers:
            heights_um = (z_um + height_um).astype(np.float32)
            od = torch.fft.rfft2(torch.from_numpy(density))
            phi = torch.fft.rfft2(torch.from_numpy(phase))
            spectrum += od * self._transfer(setting.absorption, setting, heights_um)
            spectrum += phi * self._transfer(setting.phase, setting, heights_um)
        shift = torch.from_numpy(shift_px.astype(np.float32))
        turn = self._fy * shift[:, 0, None, None] + self._fx * shift[:, 1, None, None]
        spectrum *= self._pixel
        spectrum *= torch.polar(torch.ones_like(turn), -2 * np.pi * turn)[:, None]
        image = torch.fft.irfft2(spectrum, s=(SIDE_PX, SIDE_PX))
        inner = slice(MARGIN_PX, MARGIN_PX + PATCH_PX)
        return np.asarray(image[..., inner, inner].numpy(), np.float32)


def random_layers(density: FloatArray, rng: Rng) -> list[tuple[float, FloatArray, FloatArray]]:
    """The object split over 1..3 thin layers about height 0, with a phase that follows the density."""
    n_layers = int(rng.integers(1, 4))
    thickness_um = float(rng.uniform(0.3, 4.0)) if n_layers > 1 else 0.0
    phase = density[1] * float(rng.uniform(0.2, 0.8))
    if rng.random() < 0.5:
        own = cv2.GaussianBlur(
            rng.standard_normal(phase.shape).astype(np.float32), (0, 0), rng.uniform(0.8, 4.0)
        )
        present = np.clip(density[1] / max(float(np.percentile(density[1], 95)), 1e-3), 0.0, 1.0)
        phase = phase + float(rng.uniform(0.02, 0.15)) * own / max(float(own.std()), 1e-6) * present
    if n_layers == 1:
        return [(0.0, density, phase.astype(np.float32))]
    fields = [
        cv2.GaussianBlur(rng.standard_normal(phase.shape).astype(np.float32), (0, 0), rng.uniform(4, 30))
        for _ in range(n_layers)
    ]
    scores = np.stack([f / max(float(f.std()), 1e-6) for f in fields]) * float(rng.uniform(0.5, 3.0))
    shares = np.exp(scores - scores.max(axis=0))
    shares /= shares.sum(axis=0)
    heights = np.linspace(-0.5, 0.5, n_layers) * thickness_um
    mass = np.array([float((s * density[1]).sum()) for s in shares])
    heights = heights - float((heights * mass).sum() / max(mass.sum(), 1e-6))  # focus is where the mass is
    return [
        (float(h), (density * s).astype(np.float32), (phase * s).astype(np.float32))
        for h, s in zip(heights, shares, strict=True)
    ]


def camera_images(densities: FloatArray, rng: Rng) -> list[prepare.UInt8Array]:
    """8-bit shots (patch, patch, 3) with shot noise, read noise and a flicker of 0.2 % between them."""
    white = rng.uniform(205.0, 248.0) * rng.uniform(0.9, 1.0, size=(1, 3, 1, 1))
    full_well = np.exp(rng.uniform(np.log(7000.0), np.log(30000.0)))
    read_noise = rng.uniform(0.3, 1.2)
    flicker = 1.0 + 0.002 * rng.standard_normal((len(densities), 1, 1, 1))
    signal = (white * flicker * np.exp(-densities)).astype(np.float32)
    deviation = np.sqrt(np.maximum(signal, 0.0) * 255.0 / full_well + read_noise**2).astype(np.float32)
    noisy = signal + deviation * rng.standard_normal(signal.shape, dtype=np.float32)
    shots = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(s.transpose(1, 2, 0)) for s in shots]


def object_pairs(
    density: FloatArray, setting: Setting, renderer: Renderer, delta_um: float, rng: Rng
) -> list[tuple[Int8Array, float, float]]:
    """Prepared pairs of one object: difference (3, patch, patch) in grey levels, distance_um, contrast."""
    z2_um = rng.uniform(-REACH_UM, REACH_UM, PAIRS_PER_OBJECT)
    z_um = np.stack([z2_um - delta_um, z2_um], axis=1).reshape(-1).astype(np.float32)
    shift_px = rng.normal(0.0, 0.04, (len(z_um), 2)).astype(np.float32)
    images = camera_images(renderer.densities(setting, random_layers(density, rng), z_um, shift_px), rng)
    pairs = []
    for k, distance_um in enumerate(-z2_um):
        first, second = (prepare.smoothed(image) for image in images[2 * k : 2 * k + 2])
        difference = prepare.difference_image(first, second).transpose(2, 0, 1)
        contrast = float(prepare.contrast_of(prepare.patches_of(second, PATCH_PX))[0])
        pairs.append((np.clip(difference, -127, 127).astype(np.int8), float(distance_um), contrast))
    return pairs


def write_shard(path: Path, pairs: list[tuple[Int8Array, float, float]], groups: list[str]) -> None:
    """Write a shard so that a reader never sees half of one."""
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        difference=np.stack([p[0] for p in pairs]),
        distance_um=np.array([p[1] for p in pairs], np.float32),
        contrast=np.array([p[2] for p in pairs], np.float32),
        group=np.array(groups),
    )
    partial.replace(path)


def main() -> None:
    """Make shards until ``--shards`` of them exist."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True, help="folder with the sharp tiles")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=100, help=f"shards of {PAIRS_PER_SHARD} pairs each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delta-um", type=float, default=2.0)
    parser.add_argument("--settings", type=int, default=8, help="optical settings kept at a time")
    parser.add_argument("--held-out", action="store_true", help="objects of the held-out slides and stains")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    objects = (HeldOutObjects if args.held_out else TrainingObjects)(args.tiles)
    renderer = Renderer()
    bank: dict[int, Setting] = {}
    for number in range(args.shards):
        path = args.out / f"seed{args.seed:03d}-{number:04d}.npz"
        if path.exists():
            continue
        # Everything follows from the shard's number: a continued run makes the shards of one without a stop.
        rng = np.random.default_rng([args.seed, number, int(args.held_out)])
        window = range(number, number + args.settings)
        bank = {
            k: bank.get(k) or random_setting(np.random.default_rng([args.seed, k, 2]), args.delta_um)
            for k in window
        }
        pairs: list[tuple[Int8Array, float, float]] = []
        groups: list[str] = []
        while len(pairs) < PAIRS_PER_SHARD:
            group, density = objects.draw(SIDE_PX, rng)
            setting = bank[int(rng.choice(window))]
            new = object_pairs(density, setting, renderer, args.delta_um, rng)
            pairs += new
            groups += [group] * len(new)
        write_shard(path, pairs, groups)
        print(path, flush=True)


if __name__ == "__main__":
    main()
