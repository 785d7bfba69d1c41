"""What each engine of this machine errs on held-out stacks: ``python -m tools.engine_errors --help``.

The gate of ``make engine`` judges by the few golden patches that come with a model. This is the same question asked of
as many patches as there are, on the developer's machine: mean focus error by precision, and how far predictions are
from those of ONNX Runtime in FP32. The engines lie in build/engine_errors: what the user chose stays as it is.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from parfocal.engines.backends import BATCHES, maker_of
from parfocal.engines.build import build_all
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.gate import DEFAULT_LIMITS, deviation_of, is_near
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.golden import standardised
from parfocal.engines.model.shipped import model_at, model_path
from parfocal.engines.runner import Runner
from tools.arrays import FloatArray
from tools.bench_engines import opened
from tools.learning import tables
from tools.learning.examples import Examples

REFERENCE = "onnxruntime fp32"


def predictions_um(runner: Runner, examples: Examples, chosen: NDArray[np.int64], batch: int) -> FloatArray:
    """Distances (n,) of some examples, predicted in batches of one size; the last one is filled up."""
    parts = []
    for start in track(range(0, len(chosen), batch), runner.contract.name, transient=True):
        rows = np.arange(start, start + batch) % len(chosen)
        patches = np.stack([examples.patches[k] for k in chosen[rows]])
        parts.append(runner.infer(np.ascontiguousarray(standardised(patches))))
    return np.concatenate(parts)[: len(chosen)]


def held_out_patches(folder: Path, contract: Contract) -> tuple[Examples, NDArray[np.int64]]:
    """What a folder of stacks holds for a model, and which of it counts. Raises SystemExit if nothing does."""
    examples = Examples(folder, contract.kind, contract.delta_um, contract.patch_px)
    examples.refresh()
    chosen = np.flatnonzero(tables.usable(examples, contract.range_um))
    if not len(chosen):
        raise SystemExit(
            f"{folder} holds no stack with patches of {contract.patch_px} px for {contract.name}"
        )
    return examples, chosen


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="of those that ship, or NAME.onnx")
    parser.add_argument("--held-out", type=Path, required=True, help="stacks that were not learned from")
    parser.add_argument("--threads", type=int, default=0, help="for OpenVINO; 0 takes every core")
    args = parser.parse_args()
    model = model_at(model_path(args.model))
    maker, _ = maker_of(None, args.threads)
    cache = EngineCache(Path("build/engine_errors"))
    batch = BATCHES[model.contract.kind][0]
    runners: dict[str, Runner] = {REFERENCE: OnnxRuntimeRunner(model.path, n_threads=args.threads)}
    rows = [outcome.row for outcome in build_all([model], maker, cache)]
    runners |= opened(rows, model, maker, cache)
    examples, chosen = held_out_patches(args.held_out, model.contract)
    true_um = np.array(examples.distance_um, np.float32)[chosen]
    near = is_near(true_um)
    found = {name: predictions_um(runner, examples, chosen, batch) for name, runner in runners.items()}
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
