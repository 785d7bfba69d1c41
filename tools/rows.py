"""Measure models on held-out images with one thing changed at a time: `python -m tools.rows --help`.

Prints, for each model and row: mean and deviation of the error, bias and share of wrong directions beyond one depth
of field, of whole images as the microscope estimates them; the median of the predicted uncertainty; and how many are
not believed.
Then, for each model, whether it knows when it errs: in the row of the reference instrument, and in all others.
"""

import argparse
from pathlib import Path

import numpy as np

from parfocal.edge.focus.judging.belief import Together, by_belief
from parfocal.edge.focus.judging.rule import ACCEPTED_SHARE
from parfocal.edge.focus.picture import prepare
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.head import load_head
from parfocal.engines.predictor import Predictor
from tools.learning.judged.reliability import Estimates, draw, lines_of
from tools.learning.judged.rows import IMAGE_PX, REFERENCE, ROWS, HeldOutFields, Image
from tools.learning.judged.tables import SIGN_COUNTS_BEYOND_UM
from tools.rendering.objectives import OBJECTIVES


def predictor_of(path: Path, condenser: float) -> Predictor:
    """Return a model, told the condenser if it takes it."""
    runner = OpenVinoRunner(path, n_threads=1)
    head = load_head(path, runner.contract)
    takes = runner.contract.head is not None and runner.contract.head.condenser is not None
    return Predictor(runner, head, condenser if takes else None)


def estimate(image: Image, predictor: Predictor) -> Together:
    """Return what a model says about one image."""
    patches, contrast = image.patches(predictor.contract.kind, predictor.contract.patch_px)
    prediction = predictor.predict(prepare.standardised(patches))
    return by_belief(prediction, contrast)


def line_of(truth_um: list[float], found: list[Together], depth: float) -> str:
    """Return the errors of a row as the cells of a table. `depth` is that of field over the reference objective's."""
    truth, predicted = np.array(truth_um), np.array([f.distance_um for f in found])
    error = predicted - truth
    far = np.abs(truth) > SIGN_COUNTS_BEYOND_UM * depth
    wrong = float((np.sign(predicted[far]) != np.sign(truth[far])).mean())
    sigma = [f.sigma_um for f in found if f.sigma_um is not None]
    doubted = float(np.mean([bool(f.doubt) for f in found]))
    return (
        f"{np.abs(error).mean():.2f} +- {np.abs(error).std():.2f} | {error.mean():+.2f} | {100 * wrong:.1f} % | "
        f"{np.median(sigma) if sigma else float('nan'):.2f} | {100 * doubted:.0f} %"
    )


def estimates_of(truth_um: list[float], found: list[Together], range_um: float) -> Estimates:
    """Return the errors of a row beside what the model said about them. `range_um` is that of the model."""
    predicted_um = np.array([f.distance_um for f in found])
    doubted = np.array([bool(f.doubt) for f in found])
    sigma_um = np.array([np.nan if f.sigma_um is None else f.sigma_um for f in found])
    near = np.abs(predicted_um) <= ACCEPTED_SHARE * range_um
    return Estimates(predicted_um - np.array(truth_um), sigma_um, near & ~doubted)


def in_sets(rows: dict[str, Estimates]) -> list[tuple[str, Estimates]]:
    """Return the row of the reference instrument and all others together, as far as they were measured."""
    sets = []
    for of, chosen in (
        ("nothing changed", [rows[REFERENCE]] if REFERENCE in rows else []),
        ("one thing changed", [row for name, row in rows.items() if name != REFERENCE]),
    ):
        if chosen:
            columns = ([row.error_um, row.sigma_um, row.accepted] for row in chosen)
            sets.append((of, Estimates(*(np.concatenate(column) for column in zip(*columns, strict=True)))))
    return sets


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=Path, nargs="+", help="NAME.onnx")
    parser.add_argument("--tiles", type=Path, required=True, help="folder of sharp tiles")
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--image-px",
        type=int,
        default=IMAGE_PX,
        help=f"side of the images; {3 * IMAGE_PX} px hold nine patches of a model of single shots (liao2021)",
    )
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="20x/0.75")
    parser.add_argument("--within-um", type=float, help="give the same columns again for images this near")
    parser.add_argument("--diagram", type=Path, help="picture of predicted uncertainty against error")
    parser.add_argument("--row", nargs="+", choices=tuple(ROWS), default=tuple(ROWS), help="default: all")
    args = parser.parse_args()
    objective = OBJECTIVES[args.objective]
    fields = HeldOutFields(args.tiles, args.fields, args.seed, objective, args.image_px)
    print(
        "| changed | model | mean +- sd, um | bias, um | wrong | sigma, um | doubted |\n|---|---|---|---|---|---|---|"
    )
    kept: dict[str, dict[str, Estimates]] = {path.stem: {} for path in args.models}
    for name in args.row:
        images = list(fields.images(ROWS[name]))
        truth_um = [image.distance_um for image in images]
        for path in args.models:
            predictor = predictor_of(path, ROWS[name].optics_of(objective.optics).condenser_sigma)
            found = [estimate(image, predictor) for image in images]
            kept[path.stem][name] = estimates_of(truth_um, found, predictor.contract.range_um)
            cells = [line_of(truth_um, found, objective.depth)]
            if args.within_um:
                near = [k for k, z_um in enumerate(truth_um) if abs(z_um) <= args.within_um]
                cells.append(line_of([truth_um[k] for k in near], [found[k] for k in near], objective.depth))
            print(f"| {name} | {path.stem} | {' | '.join(cells)} |", flush=True)
    sets = [(model, in_sets(rows)) for model, rows in kept.items()]
    for model, named in sets:
        for of, estimates in named:
            print(f"\n{model}, {of}:", *lines_of(estimates), sep="\n")
    if args.diagram is not None:
        draw(sets, args.diagram)


if __name__ == "__main__":
    main()
