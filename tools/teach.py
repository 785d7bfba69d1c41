"""Train a model for an objective on a GPU while other processes render its frames: `python -m tools.teach --help`.

The frames stay in the memory of the GPU, and patches are cut from them at any place: body, summary and head are trained
together. Then the head is trained anew on the features of all frames. `tools.export` writes the model from `--out`.
"""

import argparse
import contextlib
import os
import time
from pathlib import Path

import torch
from rich.console import Console

from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.shipped import model_path
from tools.learning.data.store import FrameStore
from tools.learning.joint import JointTraining
from tools.learning.recipe import Recipe
from tools.learning.start import body_from, summary_from
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.renderers import HELD_OUT_EVERY, Renderers
from tools.rendering.seen import PATCH_PX, SINGLE_PX

FIRST_FRAMES = 100  # before the training begins


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=Path, required=True, help="folder of sharp tiles")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its log")
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    parser.add_argument(
        "--start", type=Path, default=model_path("difference-20x"), help="NAME.onnx, of the same kind"
    )
    parser.add_argument(
        "--frames", type=int, default=700, help="most frames; 700 of 40x/0.65 take 41 GB of a GPU's memory"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of training body and head together")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument(
        "--scratch", type=Path, help="folder for rendered frames that wait, best in memory; default in --out"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    # A body in TensorFloat-32 computes other features than the engines do.
    torch.backends.cudnn.allow_tf32 = False
    objective = OBJECTIVES[args.objective]
    kind = contract_from_onnx(args.start).kind
    recipe = Recipe(
        kind=kind,
        delta_um=objective.delta_um,
        patch_px=SINGLE_PX if kind == "single" else PATCH_PX,
        batch=args.batch,
        seed=args.seed,
    )
    body = recipe.network()
    body_from(body, args.start)
    net = recipe.with_spectra(body)
    summary_from(net, args.start)
    training = JointTraining(net, recipe, objective.range_um, args.device)
    store = FrameStore(objective, args.frames, args.device)
    held_out = FrameStore(objective, 2 * -(-args.frames // HELD_OUT_EVERY), args.device)
    say = Console().out
    args.out.mkdir(parents=True, exist_ok=True)
    scratch = args.scratch or args.out / "waiting"
    renderers = Renderers(args.tiles, args.objective, args.seed, args.workers, scratch)
    with contextlib.closing(renderers):

        def take() -> None:
            for is_held_out, frames in renderers.taken():
                for frame in frames:
                    (held_out if is_held_out else store).add(frame)

        while store.n_frames < min(FIRST_FRAMES, args.frames) or not held_out.n_frames:
            take()
            time.sleep(0.1)
        training.learn(store, time.monotonic() + 60.0 * args.minutes, take, say)
        take()
    training.finish(store, held_out, args.out, say)


if __name__ == "__main__":
    main()
