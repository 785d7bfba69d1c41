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
from tools.rendering.cameras import Camera, Exposing, random_camera
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.parts import ladder_um, reach_um
from tools.rendering.samples import random_sample
from tools.rendering.seen import shots_at
from tools.tissue.sources import HeldOutObjects, TrainingObjects
from tools.tissue.textures import Rng

STACKS_PER_SETTING = 20
# Aperture of the condenser over that of the objective: a range, for a training that takes it as an input
# (`tools.learning.fit`), or that of one instrument within its tolerance.
CONDENSER_SIGMA = (0.4, 0.8)
CONDENSER_TOLERANCE = 0.05


def random_optics(
    reference: Optics, rng: Rng, symmetric: bool, condenser_sigma: float | None = None
) -> Optics:
    """Return an objective, with aberrations varied by about 30 % and of fixed sign.

    `symmetric` leaves out the aberrations, so both sides of the focus look the same. The condenser is random, or within
    a tolerance of `condenser_sigma`.
    """
    na = reference.na * float(rng.uniform(0.97, 1.0))
    share = float(rng.uniform())
    tolerance = (1.0 - CONDENSER_TOLERANCE, 1.0 + CONDENSER_TOLERANCE)
    low, high = CONDENSER_SIGMA if condenser_sigma is None else (condenser_sigma * t for t in tolerance)
    red_um, _, blue_um = reference.chromatic_shift_um
    optics = replace(
        reference,
        na=na,
        condenser_sigma=low + (high - low) * share,
        chromatic_shift_um=(
            red_um * float(rng.uniform(0.7, 1.3)),
            red_um / 6.0 * float(rng.standard_normal()),
            blue_um * float(rng.uniform(0.7, 1.3)),
        ),
        w040_waves=float(np.clip(0.15 + 0.05 * rng.standard_normal(), 0.05, 0.25)),
    )
    return replace(optics, chromatic_shift_um=(0.0, 0.0, 0.0), w040_waves=0.0) if symmetric else optics


def make(args: argparse.Namespace) -> None:
    """Compute the stacks that do not exist yet."""
    objective = OBJECTIVES[args.objective]
    objects = (
        HeldOutObjects(args.tiles, objective.optics.um_per_px)
        if args.held_out
        else TrainingObjects(args.tiles, objective.optics.um_per_px)
    )
    grid = Grid(args.patch_px + 2 * objective.margin_px, objective.margin_px)
    kept: tuple[int, Instrument] | None = None
    for number in range(args.first, args.first + args.stacks):
        if list(args.out.glob(f"*/seed{args.seed:03d}-{number:05d}.ome.tiff")):
            continue
        of_setting = number // STACKS_PER_SETTING
        if kept is None or kept[0] != of_setting:
            seeds = [args.seed, of_setting, int(args.held_out), 2]
            optics = random_optics(
                objective.optics, np.random.default_rng(seeds), args.symmetric, args.condenser
            )
            kept = (of_setting, Instrument(optics, reach_um(objective)))
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
    objective = OBJECTIVES[args.objective]
    group, density = objects.draw(grid.side_px, rng)
    sample = random_sample([(group, density)], rng, 0.0 if args.symmetric else args.phase)
    z_um = ladder_um(objective, rng)
    camera = _held_out_camera(args.jpeg) if args.held_out else random_camera(rng)
    exposing = Exposing(camera, (grid.image_px, grid.image_px), rng, objective.binned)
    shots = tuple(shot for (shot,) in shots_at(Imaged(sample, instrument, grid), [exposing], z_um, rng))
    path = args.out / group / f"seed{args.seed:03d}-{number:05d}.ome.tiff"
    whole = slice(grid.margin_px, -grid.margin_px)
    focus_um = sample.focus_um((whole, whole))
    return Stack(
        path,
        tuple(z_um.tolist()),
        shots,
        objective.optics.um_per_px,
        focus_um,
        instrument.optics.condenser_sigma,
    )


def _held_out_camera(jpeg_quality: int | None) -> Camera:
    return Camera() if jpeg_quality is None else Camera(jpeg_quality=jpeg_quality, chroma="4:2:0")


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
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
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
