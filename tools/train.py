"""Train a network on stacks, recorded or made: `python -m tools.train --help`.

First the body, the convolutions of the papers, is trained with a linear head. Most of the time goes into small crops
without the distance weight; the last part uses whole patches with it, the second phase of the paper. The checkpoint
holds the whole state: the same command resumes a stopped training. Then the head that ships is trained, in minutes, on
the spectra of the patches and the features of the body (`tools.learning.fit`). With `--start` the body of a model is
kept, and only the head is trained.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from parfocal.engines.model.contract import CHANNELS
from tools.learning import fit
from tools.learning.data import batches, making
from tools.learning.data.examples import Examples
from tools.learning.data.features import Features, together, without_maps
from tools.learning.data.kept_features import of_folder
from tools.learning.heads import head_from, new_head
from tools.learning.judged import tables
from tools.learning.judged.changed import changed_images
from tools.learning.judged.pictures import draw_learning, draw_scatter
from tools.learning.judged.prediction import predict
from tools.learning.recipe import SPECTRA_ONLY, Recipe
from tools.learning.start import body_from, start_from
from tools.learning.training import FROZEN_SHARE, Training, rate_at
from tools.networks.focus import FocusNet
from tools.networks.layers import Body
from tools.progress import shown_progress
from tools.rendering.objectives import OBJECTIVES

CALIBRATION_BATCHES = 12
CURVE_PX = 400 * 224**2  # pixels of held-out patches measured at every report; at the end all are measured
START_BATCH = 64  # patches whose statistics stand for all when the training starts from a model
PHASE_2_SHARE = 0.5  # share of the time after which phase 2 begins


def run(training: Training, data: Path, held_out: Path, args: argparse.Namespace) -> None:
    """Train for `--minutes` in all, including the time before a stop. Raises SystemExit if there is no usable stack."""
    recipe, console = training.recipe, Console()
    examples = Examples(data, recipe.kind, recipe.delta_um, args.stored_px[0])
    tests = Examples(held_out, recipe.kind, recipe.delta_um, recipe.patch_px)
    for part, folder in ((examples, data), (tests, held_out)):
        part.refresh()
        for line in part.left_out:
            console.print(f"left out {line}", highlight=False, soft_wrap=True)
        if not len(part):
            raise SystemExit(
                f"read {folder} failed: it contains no stack usable for {recipe.kind} examples. "
                "See above why stacks were left out, or name another folder."
            )
    if args.start and training.step == 0:
        first = np.random.default_rng(recipe.seed).integers(0, len(examples), START_BATCH)
        start_from(training.net, args.start, batches.whole(examples, first, training.device))
    whole_s, losses = args.minutes * 60.0, []
    rng = np.random.default_rng([recipe.seed, training.step])
    last_report = time.monotonic()
    with shown_progress(console, "training", whole_s, training.elapsed_s) as tell:
        while training.elapsed_s < whole_s:
            began = time.monotonic()
            share = training.elapsed_s / whole_s
            phase = 2 if share >= PHASE_2_SHARE else 1
            side_px = args.stored_px[0] if phase == 2 or recipe.head == "flatten" else recipe.crop_px
            batch = batches.random_batch(
                examples, rng, recipe.batch, recipe.planes_together, side_px, training.device
            )
            if share >= FROZEN_SHARE and not training.frozen:
                training.freeze(examples)
            losses.append(training.learn(batch, rate_at(share), phase, training.frozen))
            training.elapsed_s += time.monotonic() - began
            tell(training.elapsed_s)
            if time.monotonic() - last_report > args.report_s:
                console.print(report(training, examples, tests, losses), highlight=False, soft_wrap=True)
                losses = []
                examples.refresh()
                last_report = time.monotonic()
    console.print(report(training, examples, tests, losses, complete=True), highlight=False, soft_wrap=True)


def report(
    training: Training, examples: Examples, tests: Examples, losses: list[float], complete: bool = False
) -> str:
    """Measure on held-out patches, log and draw the errors, save the state; return a line for the user."""
    net = training.average.module
    if training.frozen:
        for kept, new in zip(net.buffers(), training.net.buffers(), strict=True):
            kept.copy_(new)
    else:
        training.recalibrate(net, examples, CALIBRATION_BATCHES)
    measured = len(tests) if complete else CURVE_PX // training.recipe.patch_px**2
    some = np.random.default_rng(1).permutation(len(tests))[:measured]
    predicted_um = predict(net, tests, training.device, some)
    shown = tests.part(some)
    groups = tables.by_group(shown, predicted_um, tables.RANGE_UM)
    training.log.append(
        {
            "patches": training.patches,
            "examples": len(examples),
            "minutes": round(training.elapsed_s / 60.0, 1),
            "loss": round(float(np.mean(losses or [0.0])), 4),
            "groups": groups,
        }
    )
    training.save()
    draw_learning(training.log, training.out / "learning.png")
    draw_scatter(
        shown,
        predicted_um,
        tables.RANGE_UM,
        training.out / "scatter.png",
        f"held-out patches after {training.patches} patches",
    )
    entry = training.log[-1]
    return (
        f"{entry['minutes']} min, {training.patches} patches of {len(examples)}: "
        f"loss {entry['loss']:.3f}, held out {tables.in_a_line(groups)}"
    )


def train_head(
    recipe: Recipe,
    body: Body | None,
    data: Path,
    held_out: Path,
    out: Path,
    args: argparse.Namespace,
) -> None:
    """Train the head that ships, on a trained body or on the spectra alone.

    Starts from the head of `--start` if that has one.
    """
    say = Console().out
    objective = OBJECTIVES[args.objective]
    if body is not None:
        body.to(args.device).eval()

    def features_in(folder: Path, name: str, side_px: int) -> Features:
        examples = Examples(folder, recipe.kind, recipe.delta_um, side_px)
        net = FocusNet(body, CHANNELS[recipe.kind], side_px).to(args.device)
        return of_folder(net, examples, args.device, out / f"features-{name}", say)

    out.mkdir(parents=True, exist_ok=True)

    if args.features is None:
        training = together([features_in(data, f"data-{side_px}", side_px) for side_px in args.stored_px])
    else:
        training = together([making.made(args.features, kind, say) for kind in making.FOR[recipe.kind]])
    spectra = making.made(args.features, "spectral", say) if args.features and recipe.kind == "pair" else None
    if body is None:
        training = together([without_maps(part) for part in (training, spectra) if part is not None])
        spectra = None
    tests = features_in(held_out, "held-out", recipe.patch_px)
    net = recipe.with_spectra(None if body is None else body.cpu())
    begun = None
    if args.start is not None and not args.new_head:
        begun = head_from(net, args.start, training, objective.depth, args.add_members, args.keep_members)
    if begun is None:
        begun = new_head(net, training, objective.depth)
    how = fit.FitRecipe(args.epochs, args.fit_batch, fit_seed=args.fit_seed, linear_from=args.linear_from_um)
    if not begun.is_new:
        how = fit.refit(args.fit_batch)
    changed = None
    if args.sigma_tiles is not None:
        changed = changed_images(
            net, recipe.kind, recipe.patch_px, objective, args.sigma_tiles, args.sigma_fields
        )
        say(f"the uncertainty is scaled on {len(changed)} patches with one thing changed at a time")
    fit.fit(
        net,
        begun.head,
        begun.condensers,
        asdict(recipe),
        how,
        training,
        tests,
        out,
        say,
        objective.range_um,
        spectra,
        changed,
        args.device,
        begun.kept,
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Recipe()
    parser.add_argument(
        "--data", type=Path, help="folder of stacks; its subfolders are groups; or give --features"
    )
    parser.add_argument("--held-out", type=Path, required=True, help="folder of stacks for testing only")
    parser.add_argument(
        "--features",
        type=Path,
        help="instead of --data, with --start: train the head on what `tools.make_features` made in this folder",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint and the plots")
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    parser.add_argument(
        "--sigma-tiles",
        type=Path,
        help="folder of sharp tiles: scale the uncertainty on held-out images with one thing changed at a time "
        "instead of on the held-out stacks",
    )
    parser.add_argument("--sigma-fields", type=int, default=8, help="of these images")
    parser.add_argument(
        "--kind",
        choices=("pair", "difference", "single"),
        default=default.kind,
        help="input of the network: difference and second shot, difference only (dastidar2020), or one shot (liao2021)",
    )
    parser.add_argument(
        "--head",
        choices=("spectrum", SPECTRA_ONLY, "average", "flatten"),
        default=default.head,
        help="input of the head: spectra and averaged map, spectra only, averaged map only, or the whole map "
        "(dastidar2020)",
    )
    parser.add_argument("--delta-um", type=float, default=default.delta_um)
    parser.add_argument(
        "--patch-px", type=int, help="side of the patches of the model; default 224, for a single shot 672"
    )
    parser.add_argument(
        "--stored-px",
        type=int,
        nargs="+",
        default=[224],
        help="side of the patches cut from the data; with several, the body uses the first and the head all",
    )
    parser.add_argument(
        "--crop-px",
        type=int,
        default=default.crop_px,
        help="side of the crops used for most of the training",
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="NAME.onnx to start from; with --head spectrum its body is kept, otherwise use a lower --learning-rate",
    )
    parser.add_argument(
        "--new-head",
        action="store_true",
        help="with --start and --head spectrum: keep the body alone, where its head would be trained further",
    )
    parser.add_argument(
        "--add-members",
        type=int,
        metavar="N",
        help="with --start and --head spectrum: keep the head, and train N members more beside those that it has",
    )
    parser.add_argument(
        "--keep-members",
        type=int,
        metavar="N",
        help="with --add-members: keep the first N members of the head; default: all",
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--epochs", type=int, default=fit.FitRecipe.epochs, help="of the head, if it is new")
    parser.add_argument("--fit-batch", type=int, default=fit.FitRecipe.fit_batch)
    parser.add_argument("--fit-seed", type=int, default=fit.FitRecipe.fit_seed, help="of the head")
    parser.add_argument(
        "--linear-from-um",
        type=float,
        default=fit.FitRecipe.linear_from,
        help="error from which on the loss of the head is linear; dastidar2020: 0.5",
    )
    parser.add_argument("--report-s", type=float, default=300.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if (args.data is None) == (args.features is None):
        parser.error("give either --data or --features")
    if args.add_members is not None and (args.start is None or args.new_head):
        parser.error("--add-members adds to the head of --start: give --start, and leave out --new-head")
    if args.keep_members is not None and args.add_members is None:
        parser.error("--keep-members goes with --add-members")
    has_body = args.start is not None and args.head == "spectrum"
    if args.features is not None and not has_body and args.head != SPECTRA_ONLY:
        parser.error(
            "--features trains a head on the body of --start: give --start, and --head spectrum or none; "
            f"or give --head {SPECTRA_ONLY}"
        )
    torch.set_num_threads(args.threads)
    recipe = Recipe(
        kind=args.kind,
        head=args.head,
        delta_um=args.delta_um,
        patch_px=args.patch_px or (672 if args.kind == "single" else 224),
        crop_px=args.crop_px,
        seed=args.seed,
        batch=args.batch,
        learning_rate=args.learning_rate,
        planes_together=4 if args.kind == "single" else 1,
    )
    body: Body | None = None
    if recipe.head == "spectrum" and args.start:
        body = recipe.network()
        body_from(body, args.start)
    elif recipe.has_body:
        training = Training(recipe, args.out, args.device)
        run(training, args.data, args.held_out, args)
        body = training.average.module
    if recipe.head in ("spectrum", SPECTRA_ONLY):
        train_head(recipe, body, args.data, args.held_out, args.out, args)


if __name__ == "__main__":
    main()
