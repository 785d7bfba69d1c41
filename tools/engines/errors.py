"""Measure the errors of all engines of this machine on held-out stacks: `python -m tools.engines.errors --help`.

The accuracy gate of `make engine` uses the few golden patches that ship with a model. This program uses as many patches
as there are, on a developer's machine. It shows the mean focus error by precision, and the deviation from ONNX Runtime
in FP32. The engines are kept in build/engine_errors; the choices of the user do not change.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from parfocal.calib.quantise.forms import made_form
from parfocal.engines.backends import BATCHES, maker_of
from parfocal.engines.build import build_all
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.gate import DEFAULT_LIMITS, deviation_of, is_near
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.golden import standardised
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import model_at, model_path
from parfocal.engines.predictor import Predictor
from tools.arrays import FloatArray
from tools.engines.bench import opened
from tools.learning.data.examples import Examples
from tools.learning.judged import tables

REFERENCE = "onnxruntime fp32"


def predictions_um(
    predictor: Predictor, examples: Examples, chosen: NDArray[np.int64], batch: int
) -> FloatArray:
    """Return the predicted distances (n,) of some examples, in batches of one size; the last one is filled up."""
    parts = []
    for start in track(range(0, len(chosen), batch), predictor.contract.name, transient=True):
        rows = np.arange(start, start + batch) % len(chosen)
        patches = np.stack([examples.patches[k] for k in chosen[rows]])
        parts.append(predictor.predict(np.ascontiguousarray(standardised(patches))).distance_um)
    return np.concatenate(parts)[: len(chosen)]


def held_out_patches(folder: Path, contract: Contract) -> tuple[Examples, NDArray[np.int64]]:
    """Return the examples in a folder of stacks, and the indices of the usable ones. Raises SystemExit if none is."""
    examples = Examples(folder, contract.kind, contract.delta_um, contract.patch_px)
    examples.refresh()
    chosen = np.flatnonzero(tables.usable(examples, contract.range_um))
    if not len(chosen):
        raise SystemExit(
            f"{folder} contains no stack with usable patches of {contract.patch_px} px for {contract.name}. "
            "Name another folder as --held-out."
        )
    return examples, chosen


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="name of a model that ships, or NAME.onnx")
    parser.add_argument(
        "--held-out", type=Path, required=True, help="folder of stacks that were not used in training"
    )
    parser.add_argument("--threads", type=int, default=0, help="threads for OpenVINO; 0 uses every core")
    args = parser.parse_args()
    model = model_at(model_path(args.model))
    maker, _ = maker_of(None, args.threads)
    cache = EngineCache(Path("build/engine_errors"))
    batch = BATCHES[model.contract.kind][0]
    reference = OnnxRuntimeRunner(model.path, n_threads=args.threads)
    predictors = {REFERENCE: Predictor(reference, load_head(model.path, model.contract))}
    rows = [outcome.row for outcome in build_all([model], maker, cache, make_form=made_form)]
    predictors |= opened(rows, model, maker, cache)
    examples, chosen = held_out_patches(args.held_out, model.contract)
    true_um = np.array(examples.distance_um, np.float32)[chosen]
    near = is_near(true_um)
    found = {
        name: predictions_um(predictor, examples, chosen, batch) for name, predictor in predictors.items()
    }
    title = f"{model.contract.name}: {len(chosen)} patches of {args.held_out.name}"
    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("engine", "error um", "growth um", "mean dev. um", "max near um", "too far %"):
        table.add_column(heading, justify="left" if heading == "engine" else "right", no_wrap=True)
    for name, predicted_um in found.items():
        far = deviation_of(predicted_um, found[REFERENCE], true_um)
        error_um = np.abs(predicted_um - true_um).mean()
        over = np.abs(predicted_um - found[REFERENCE])[near] > DEFAULT_LIMITS.max_deviation_um
        figures = (error_um, far.error_growth_um, far.mean_um, far.max_um)
        table.add_row(name, *(f"{value:.3f}" for value in figures), f"{100.0 * over.mean():.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
