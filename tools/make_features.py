"""Make the features that heads are trained on, from rendered shots: `python -m tools.make_features --help`.

Of pairs, a part is two frames through one random instrument, at a ladder of heights: about 400 pairs. Of single shots,
it is a dozen small samples, each through an instrument of its own. Parts are numbered and written one by one, so a run
can be stopped and goes on; `tools.train --features` takes what there is.
"""

import argparse
import os
from pathlib import Path

from tools.learning.data.making import KINDS, Making, make
from tools.learning.data.shots import SHOT_PX
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.seen import SINGLE_PX


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True, help="folder of sharp tiles")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--shots", choices=tuple(KINDS), required=True, help="of a model of pairs, or of one shot"
    )
    parser.add_argument(
        "--body",
        type=Path,
        help="model whose body computes the maps; without one, the features are spectra alone",
    )
    parser.add_argument(
        "--shot-px",
        type=int,
        default=SHOT_PX,
        choices=(SHOT_PX, SINGLE_PX),
        help="side of a whole single shot",
    )
    parser.add_argument("--parts", type=int, default=800, help="number of parts, from 0")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    args = parser.parse_args()
    make(
        Making(args.tiles, args.shots, args.body, args.objective, args.out, args.seed, args.shot_px),
        args.parts,
        args.workers,
    )


if __name__ == "__main__":
    main()
