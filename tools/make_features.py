"""Make the features that heads are trained on, from rendered frames: `python -m tools.make_features --help`.

Each part is two frames through one random instrument, at a ladder of heights: about 400 pairs. Parts are numbered and
written one by one, so a run can be stopped and goes on; `tools.train --features` takes what there is.
"""

import argparse
import os
from pathlib import Path

from parfocal.engines.model.shipped import model_path
from tools.learning.data.frames import Making, make
from tools.rendering.objectives import OBJECTIVES


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True, help="folder of sharp tiles")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=800, help="number of parts, from 0")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    parser.add_argument("--pair", type=Path, default=model_path("difference-20x"), help="model with the body")
    parser.add_argument("--single", type=Path, default=model_path("single-20x"), help="model with the body")
    parser.add_argument(
        "--single-shots-alone",
        action="store_true",
        help="for a head without a body: spectra of small single shots, each sample through an instrument of its own",
    )
    args = parser.parse_args()
    make(
        Making(
            args.tiles,
            args.pair,
            args.single,
            args.objective,
            args.out,
            args.seed,
            args.single_shots_alone,
        ),
        args.parts,
        args.workers,
    )


if __name__ == "__main__":
    main()
