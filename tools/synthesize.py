"""Compute stacks of made samples, as a microscope would record them: `python -m tools.synthesize --help`.

Each sample is imaged with random optics, at heights `delta` apart: an OME-TIFF of 8-bit shots with the height of the
focus. There is one folder per kind of object. Stacks are written atomically, and each depends only on its number: a run
can be stopped and resumed, and a training can read while it runs.

A training needs hundreds of thousands of patches. `tools.make_features` makes them without storing stacks.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from parfocal.edge.simscope.optics import Optics
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tools.arrays import FloatArray
from tools.cameras import Camera, Exposing, random_camera
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.samples import random_sample
from tools.rendering.seen import shots_at
from tools.tissue.sources import HeldOutObjects, TrainingObjects
from tools.tissue.textures import UM_PER_PX, Rng

MARGIN_PX = 48  # how far defocus of 16 um at NA 0.75 blurs into the image from outside
PLANES = 14
LOWEST_UM = (-14.0, -12.0)  # beyond the +-10 um range of a model, so that it recognises far distances
REACH_UM = 18.0
# Spacing of the planes over delta. A stage moves in whole motor steps: on the reference 2 um become 1.875 um.
STEP_PER_DELTA = (0.92, 1.04)
STACKS_PER_SETTING = 20
# Aperture of the condenser over that of the objective: a range, for a training that takes it as an input
# (`tools.learning.fit`), or that of one instrument within its tolerance.
CONDENSER_SIGMA = (0.4, 0.8)
CONDENSER_TOLERANCE = 0.05


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


def ladder_um(delta_um: float, rng: Rng) -> FloatArray:
    """Return the heights of the planes above the focus, ascending."""
    step_um = delta_um * rng.uniform(*STEP_PER_DELTA)
    return (rng.uniform(*LOWEST_UM) + step_um * np.arange(PLANES)).astype(np.float32)


def make(args: argparse.Namespace) -> None:
    """Compute the stacks that do not exist yet."""
    objects = (HeldOutObjects if args.held_out else TrainingObjects)(args.tiles)
    grid = Grid(args.patch_px + 2 * MARGIN_PX, MARGIN_PX)
    kept: tuple[int, Instrument] | None = None
    for number in range(args.first, args.first + args.stacks):
        if list(args.out.glob(f"*/seed{args.seed:03d}-{number:05d}.ome.tiff")):
            continue
        of_setting = number // STACKS_PER_SETTING
        if kept is None or kept[0] != of_setting:
            seeds = [args.seed, of_setting, int(args.held_out), 2]
            optics = random_optics(np.random.default_rng(seeds), args.symmetric, args.condenser)
            kept = (of_setting, Instrument(optics, REACH_UM))
        stack = _stack(number, objects, kept[1], grid, args)
        write_stack(stack)
        print(stack.path, flush=True)


def _stack(
    number: int,
    objects: TrainingObjects | HeldOutObjects,
    instrument: Instrument,
    grid: Grid,
    args: argparse.Namespace,
) -> Stack:
    rng = np.random.default_rng([args.seed, number, int(args.held_out)])
    group, density = objects.draw(grid.side_px, rng)
    sample = random_sample([(group, density)], 1.0, rng, 0.0 if args.symmetric else args.phase)
    z_um = ladder_um(args.delta_um, rng)
    camera = Camera(jpeg_quality=args.jpeg) if args.held_out else random_camera(rng)
    exposing = Exposing(camera, (grid.image_px, grid.image_px), rng)
    shots = tuple(shots_at(Imaged(sample, instrument, grid), exposing, z_um, rng))
    path = args.out / group / f"seed{args.seed:03d}-{number:05d}.ome.tiff"
    whole = slice(MARGIN_PX, -MARGIN_PX)
    focus_um = sample.focus_um((whole, whole))
    return Stack(path, tuple(z_um.tolist()), shots, UM_PER_PX, focus_um, instrument.optics.condenser_sigma)


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
    args = parser.parse_args()
    cv2.setNumThreads(1)
    make(args)


if __name__ == "__main__":
    main()
