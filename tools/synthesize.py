"""Compute training stacks with the optics of the virtual microscope: `python -m tools.synthesize --help`.

Each object is imaged with random optics, at heights `delta` apart, as a microscope would record it: an OME-TIFF of
8-bit shots with the height of the focus. There is one folder per kind of object. Stacks are written atomically, and
each depends only on its number: a run can be stopped and resumed, and a training can read while it runs.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from parfocal.edge.simscope.optics import Optics, radial_grid, transfer_profiles
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tools.arrays import FloatArray
from tools.cameras import Camera, random_camera, shots_of
from tools.tissue.sources import HeldOutObjects, TrainingObjects
from tools.tissue.textures import UM_PER_PX, Rng
from tools.tissue.thickness import Layer, random_layers

MARGIN_PX = 48  # how far defocus of 16 um at NA 0.75 blurs into the patch from outside
PROFILE_STEP_UM = 0.25
PROFILE_REFINEMENT = 8
PLANES = 14
LOWEST_UM = (-14.0, -12.0)  # beyond the +-10 um range of a model, so that it recognises far distances
# Spacing of the planes over delta. A stage moves in whole motor steps: on the reference 2 um become 1.875 um.
STEP_PER_DELTA = (0.92, 1.04)
STACKS_PER_SETTING = 20
# Aperture of the condenser over that of the objective: a range, for a training that takes it as an input
# (`tools.learning.fit`), or that of one instrument within its tolerance.
CONDENSER_SIGMA = (0.4, 0.8)
CONDENSER_TOLERANCE = 0.05


@dataclass(frozen=True)
class Setting:
    """One optical setting, with its transfer profiles (n_z, 3, n_q) on a grid of heights."""

    z_um: FloatArray
    absorption: torch.Tensor
    phase: torch.Tensor


def random_optics(rng: Rng, symmetric: bool, condenser_sigma: float | None = None) -> Optics:
    """Return the reference objective, with aberrations varied by about 30 % and of fixed sign.

    `symmetric` leaves out the aberrations, so both sides of the focus look the same. The condenser is random, or within
    a tolerance of `condenser_sigma`.
    """
    na = 0.75 * float(rng.uniform(0.97, 1.0))
    share = float(rng.uniform())
    tolerance = (1.0 - CONDENSER_TOLERANCE, 1.0 + CONDENSER_TOLERANCE)
    low, high = CONDENSER_SIGMA if condenser_sigma is None else (condenser_sigma * t for t in tolerance)
    optics = replace(
        Optics(),
        na=na,
        condenser_sigma=low + (high - low) * share,
        chromatic_shift_um=(
            0.3 * float(rng.uniform(0.7, 1.3)),
            0.05 * float(rng.standard_normal()),
            -0.3 * float(rng.uniform(0.7, 1.3)),
        ),
        w040_waves=float(np.clip(0.15 + 0.05 * rng.standard_normal(), 0.05, 0.25)),
    )
    return replace(optics, chromatic_shift_um=(0.0, 0.0, 0.0), w040_waves=0.0) if symmetric else optics


def setting_of(optics: Optics, device: str) -> Setting:
    """Return the transfer profiles of `optics`, over all heights that a layer of a stack can have."""
    reach_um = -LOWEST_UM[0] + 6.0
    z_um = np.arange(-reach_um, reach_um + PROFILE_STEP_UM / 2, PROFILE_STEP_UM, dtype=np.float32)
    absorption, phase = (torch.from_numpy(p).to(device) for p in transfer_profiles(optics, z_um))
    return Setting(z_um, absorption, phase)


class Renderer:
    """Computes images of one object at many heights. `patch_px` is the side of the images."""

    def __init__(self, patch_px: int, device: str) -> None:
        self.side_px = cv2.getOptimalDFTSize(patch_px + 2 * MARGIN_PX)
        self._inner = slice((self.side_px - patch_px) // 2, (self.side_px - patch_px) // 2 + patch_px)
        self._device = device
        index, fraction, pixel = radial_grid((self.side_px, self.side_px), UM_PER_PX)
        # Interpolating the short profiles eightfold and taking the nearest sample needs a third of the time of
        # interpolating at every point of the grid. Its error is below the camera noise.
        nearest = np.rint((index + fraction) * PROFILE_REFINEMENT).astype(np.int64)
        self._nearest = torch.from_numpy(nearest).to(device)
        self._pixel = torch.from_numpy(pixel).to(device)
        self._fy = torch.fft.fftfreq(self.side_px, device=device)[:, None]
        self._fx = torch.fft.rfftfreq(self.side_px, device=device)[None, :]

    def densities(
        self, setting: Setting, layers: list[Layer], z_um: FloatArray, shift_px: FloatArray
    ) -> FloatArray:
        """Return the image density (n_z, 3, patch, patch) of an object, with the stage at `z_um` above its focus.

        `shift_px` (n_z, 2) moves each shot sideways: a stage never stops at exactly the same place.
        """
        shape = (len(z_um), 3, *self._pixel.shape)
        spectrum = torch.zeros(shape, dtype=torch.complex64, device=self._device)
        for layer in layers:
            heights_um = (z_um + layer.height_um).astype(np.float32)
            density = torch.fft.rfft2(torch.from_numpy(layer.density).to(self._device))
            phase = torch.fft.rfft2(torch.from_numpy(layer.phase_rad).to(self._device))
            spectrum += density * self._transfer(setting.absorption, setting, heights_um)
            spectrum += phase * self._transfer(setting.phase, setting, heights_um)
        shift = torch.from_numpy(shift_px.astype(np.float32)).to(self._device)
        turn = self._fy * shift[:, 0, None, None] + self._fx * shift[:, 1, None, None]
        spectrum *= self._pixel * torch.polar(torch.ones_like(turn), -2 * np.pi * turn)[:, None]
        image = torch.fft.irfft2(spectrum, s=(self.side_px, self.side_px))
        return np.asarray(image[..., self._inner, self._inner].cpu().numpy(), np.float32)

    def _transfer(self, profiles: torch.Tensor, setting: Setting, z_um: FloatArray) -> torch.Tensor:
        position = np.clip((z_um - setting.z_um[0]) / PROFILE_STEP_UM, 0, len(setting.z_um) - 1.001)
        below = torch.from_numpy(np.floor(position).astype(np.int64)).to(self._device)
        share = torch.from_numpy((position - np.floor(position)).astype(np.float32)).to(self._device)
        share = share[:, None, None]
        rows = profiles[below] * (1 - share) + profiles[below + 1] * share
        n_fine = (rows.shape[-1] - 1) * PROFILE_REFINEMENT + 1
        fine = torch.nn.functional.interpolate(rows, size=n_fine, mode="linear", align_corners=True)
        return fine[..., self._nearest]


def ladder_um(delta_um: float, rng: Rng) -> FloatArray:
    """Return the heights of the planes above the focus, ascending."""
    step_um = delta_um * rng.uniform(*STEP_PER_DELTA)
    return (rng.uniform(*LOWEST_UM) + step_um * np.arange(PLANES)).astype(np.float32)


def make(args: argparse.Namespace) -> None:
    """Compute the stacks that do not exist yet."""
    objects = (HeldOutObjects if args.held_out else TrainingObjects)(args.tiles)
    renderer = Renderer(args.patch_px, args.device)
    phase = 0.0 if args.symmetric else args.phase
    kept: tuple[int, Optics, Setting] | None = None
    for number in range(args.first, args.first + args.stacks):
        done = list(args.out.glob(f"*/seed{args.seed:03d}-{number:05d}.ome.tiff"))
        if done:
            continue
        of_setting = number // STACKS_PER_SETTING
        if kept is None or kept[0] != of_setting:
            seeds = [args.seed, of_setting, int(args.held_out), 2]
            optics = random_optics(np.random.default_rng(seeds), args.symmetric, args.condenser)
            kept = (of_setting, optics, setting_of(optics, args.device))
        _, optics, setting = kept
        rng = np.random.default_rng([args.seed, number, int(args.held_out)])
        group, density = objects.draw(renderer.side_px, rng)
        z_um = ladder_um(args.delta_um, rng)
        shift_px = rng.normal(0.0, 0.04, (len(z_um), 2)).astype(np.float32)
        layers = random_layers(density, phase, rng)
        camera = Camera(jpeg_quality=args.jpeg) if args.held_out else random_camera(rng)
        shots = shots_of(renderer.densities(setting, layers, z_um, shift_px), camera, rng)
        path = args.out / group / f"seed{args.seed:03d}-{number:05d}.ome.tiff"
        heights_um = tuple(float(z) for z in z_um)
        write_stack(Stack(path, heights_um, tuple(shots), UM_PER_PX, 0.0, optics.condenser_sigma))
        print(path, flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True, help="folder with sharp tiles")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stacks", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first stack")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delta-um", type=float, default=2.0, help="approximate distance of the planes")
    parser.add_argument("--patch-px", type=int, default=224, help="side of the images")
    parser.add_argument(
        "--condenser",
        type=float,
        help="aperture of the condenser over that of the objective; default: random",
    )
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="use objects of the held-out slides and stains, and a plain camera",
    )
    parser.add_argument(
        "--phase",
        type=float,
        help="phase of the objects, in rad per unit of optical density; default: random",
    )
    parser.add_argument("--jpeg", type=int, help="JPEG quality (4:2:0) of held-out images; default: none")
    parser.add_argument(
        "--symmetric",
        action="store_true",
        help="no phase and no aberrations, so that nothing shows the direction",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    make(args)


if __name__ == "__main__":
    main()
