"""Measure the speed of the engines against ONNX Runtime: `make bench` writes build/bench/engines.json.

The candidates take turns of ten inferences, so that other load on the machine affects all of them. Ratios are of
medians. The ratio of the best times is given as well, because a busy machine affects it least.

Engines and choices are kept in build/bench/cache, also for the processes started here. The choices of the user do not
change.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.quantise.forms import made_form
from parfocal.engines.backends import BATCHES, EngineMaker, OpenVinoMaker
from parfocal.engines.build import build_all
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.choose import Row
from parfocal.engines.cpu.openvino import CompiledRunner, cpu_and_precisions
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.key import Precision
from parfocal.engines.model.golden import load_golden
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import Model, list_models, model_path
from parfocal.engines.opening import open_chosen
from parfocal.engines.predictor import Predictor
from tools.arrays import FloatArray

N_TURNS = 15
N_IN_TURN = 10
N_UNCOUNTED = 2
CACHE_HOME = Path("build/bench/cache")
# By kind of model, on a CPU with bf16: OpenVINO in the chosen precision against ONNX Runtime in float32. On others both
# compute the same in float32, and OpenVINO must not be the slower one.
WANTED_RATIO = {"difference": 2.5, "pair": 2.5, "single": 1.5}
WANTED_RATIO_IN_FP32 = 1.0
MAX_OVERHEAD = 0.05
MAX_WARM_START_S = 0.5
JUDGED_WARM_START = "to_first_prediction_s"
MAX_NOTHING_TO_DO_S = 2.0
WARM_START = """
import time; began_s = time.perf_counter()
import importlib, sys
for name in sys.argv[3:]:
    importlib.import_module(name)
from pathlib import Path
import msgspec
import numpy as np
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.opening import open_chosen
from parfocal.engines.cpu.openvino import CompiledRunner
predictor = open_chosen(Path(sys.argv[1]), EngineCache(default_cache_folder())).predictor
n, side = int(sys.argv[2]), predictor.contract.patch_px
predictor.predict(np.zeros((n, predictor.contract.channels, side, side), np.float32))
print(time.perf_counter() - began_s)
"""


def turns_ms(calls: dict[str, Callable[[], object]], n_turns: int) -> dict[str, NDArray[np.float64]]:
    """Time calls in turns of `N_IN_TURN`; returns times in ms, (n_turns * N_IN_TURN,), by name.

    The first calls of a turn are not counted: the CPU caches still contain the weights of another net.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(n_turns):
        for name, call in calls.items():
            for number in range(-N_UNCOUNTED, N_IN_TURN):
                began_s = time.perf_counter()
                call()
                if number >= 0:
                    times[name].append((time.perf_counter() - began_s) * 1e3)
    return {name: np.array(values) for name, values in times.items()}


def summary(times_ms: NDArray[np.float64]) -> dict[str, float]:
    """Return the best, the median and the 95th percentile."""
    p50, p95 = np.percentile(times_ms, (50, 95))
    return {"best": round(float(times_ms.min()), 3), "p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def opened(rows: list[Row], model: Model, maker: EngineMaker, cache: EngineCache) -> dict[str, Predictor]:
    """Return the engines of a model that were built, by backend and precision."""
    head = load_head(model.path, model.contract)
    return {
        f"{row.backend} {row.precision}": Predictor(
            maker.open(cache.load(row.key), row.key, model.contract), head
        )
        for row in rows
        if row.key is not None and not row.failed
    }


def measured(model: Model, cache: EngineCache, n_threads: int, n_turns: int) -> dict[str, Any]:
    """Compare the CPU engines of one model with ONNX Runtime, and measure the overhead of our runner."""
    maker = OpenVinoMaker(n_threads)
    batch = BATCHES[model.contract.kind][0]
    golden = load_golden(model.path)
    patches: FloatArray = np.ascontiguousarray(golden.batch[np.arange(batch) % len(golden.batch)])
    outcomes = build_all([model], maker, cache, make_form=made_form)
    rows: list[Row] = [outcome.row for outcome in outcomes]
    chosen = next(outcome.row.precision for outcome in outcomes if outcome.chosen)
    reference = Predictor(
        OnnxRuntimeRunner(model.path, n_threads=n_threads), load_head(model.path, model.contract)
    )
    calls: dict[str, Callable[[], object]] = {"onnxruntime fp32": lambda: reference.predict(patches)}
    for name, predictor in opened(rows, model, maker, cache).items():
        calls[name] = lambda predictor=predictor: predictor.predict(patches)  # type: ignore[misc]
    times = turns_ms(calls, n_turns)
    ratio = float(np.median(times["onnxruntime fp32"]) / np.median(times[f"openvino {chosen}"]))
    best = float(times["onnxruntime fp32"].min() / times[f"openvino {chosen}"].min())
    return {
        "batch": batch,
        "n_threads": n_threads,
        "ms": {name: summary(values) for name, values in times.items()},
        "chosen": chosen,
        "ratio": round(ratio, 2),
        "ratio_of_the_best": round(best, 2),
        "wanted_ratio": wanted_ratio(model, [row.precision for row in rows]),
        "overhead": overhead(model, cache, patches, n_turns),
        "deviation_um": {row.precision: row.deviation for row in rows},
        "refused": {row.precision: row.refused for row in rows if row.refused},
    }


def wanted_ratio(model: Model, precisions: Sequence[Precision]) -> float:
    """Return how many times as fast as ONNX Runtime the chosen engine must be, on a CPU with these precisions."""
    return WANTED_RATIO[model.contract.kind] if "bf16" in precisions else WANTED_RATIO_IN_FP32


class Instant:
    """Stands in for an infer request: the same output, without delay."""

    def __init__(self, output: Any) -> None:  # noqa: ANN401 (OpenVINO's)
        self._output = output

    def start_async(self, *_: object, **__: object) -> None:
        """Do nothing."""

    def wait(self) -> None:
        """Return at once."""

    def get_tensor(self, _: str) -> Any:  # noqa: ANN401 (OpenVINO's)
        """Return the output of the request."""
        return self._output


def overhead(model: Model, cache: EngineCache, patches: FloatArray, n_turns: int) -> float:
    """Return the overhead of our runner over bare calls of OpenVINO, as a share of their best time.

    The runner is timed with requests that return at once: on a busy machine the difference of two inferences is too
    noisy to show microseconds.
    """
    runner = open_chosen(model.path, cache).predictor.runner
    if not isinstance(runner, CompiledRunner):
        raise SystemExit("the chosen engine does not run on OpenVINO, so its overhead cannot be measured")
    runner.infer(patches)
    requests = runner._requests  # noqa: SLF001 (to be replaced below)
    parts = np.split(patches, len(requests))

    def bare() -> None:
        for request, part in zip(requests, parts, strict=True):
            request.start_async([part], share_inputs=True)
        for request in requests:
            request.wait()

    bare_ms = turns_ms({"bare": bare}, n_turns)["bare"].min()
    runner._requests = [Instant(r.get_tensor(model.contract.output_name)) for r in requests]  # noqa: SLF001
    ours_ms = float(np.median(turns_ms({"runner": lambda: runner.infer(patches)}, n_turns)["runner"]))
    return round(ours_ms / float(bare_ms), 4)


def warm_start_s(model: Model, n_starts: int = 7) -> dict[str, float | str]:
    """Return the time from the start of a process to its first prediction with a built engine, in seconds.

    Only `to_first_prediction_s` counts, the median over whole processes that only predict. The others are for
    information: the best of those processes, which a busy machine affects least; their median without the start of the
    interpreter; and the median of processes that import the command line of the instrument first.
    """
    inside: list[float] = []
    whole: list[float] = []
    command: list[float] = []
    arguments = [str(model.path), str(BATCHES[model.contract.kind][0])]
    for _ in range(n_starts):
        for times, modules in ((whole, []), (command, ["parfocal.edge.cli.app"])):
            began_s = time.perf_counter()
            program = [sys.executable, "-c", WARM_START, *arguments, *modules]
            done = subprocess.run(program, capture_output=True, text=True, check=True)
            times.append(time.perf_counter() - began_s)
            if not modules:
                inside.append(float(done.stdout))
    return {
        "without_interpreter_s": round(float(np.median(inside)), 3),
        JUDGED_WARM_START: round(float(np.median(whole)), 3),
        "best_s": round(min(whole), 3),
        "with_the_command_line_s": round(float(np.median(command)), 3),
        "judged": JUDGED_WARM_START,
        "wanted_s": MAX_WARM_START_S,
    }


def nothing_to_do_s(n_threads: int) -> dict[str, float]:
    """Time a second `parfocal engine build`, which has nothing to build."""
    command = [sys.executable, "-m", "parfocal", "engine", "build", "--threads", str(n_threads)]
    # The first run builds what was not measured here: other models, and engines of a GPU.
    subprocess.run(command, capture_output=True, check=True)
    began_s = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "nothing was built" not in done.stdout:
        raise SystemExit(f"engines were built although nothing had changed:\n{done.stdout}")
    return {"whole_s": round(time.perf_counter() - began_s, 3), "wanted_s": MAX_NOTHING_TO_DO_S}


def missed(results: dict[str, Any]) -> list[str]:
    """Return the targets that were missed, one line each."""
    lines = []
    for name, found in results["models"].items():
        if found["ratio"] < found["wanted_ratio"]:
            lines.append(
                f"{name}: {found['ratio']} times as fast as ONNX Runtime, target {found['wanted_ratio']}"
            )
        if found["overhead"] > MAX_OVERHEAD:
            lines.append(f"{name}: the runner adds {100 * found['overhead']:.1f} %, limit 5 %")
        first_s = found["warm_start"][JUDGED_WARM_START]
        if first_s > MAX_WARM_START_S:
            lines.append(f"{name}: first prediction after {first_s} s, limit 0.5 s")
    if results["nothing_to_do"]["whole_s"] > MAX_NOTHING_TO_DO_S:
        lines.append(f"a build with nothing to do takes {results['nothing_to_do']['whole_s']} s, limit 2 s")
    return lines


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench/engines.json"))
    parser.add_argument("--turns", type=int, default=N_TURNS)
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of each; 0, the default, uses every core"
    )
    parser.add_argument("--model", help="one model; default: all that ship")
    args = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = str(CACHE_HOME.resolve())
    cache = EngineCache(default_cache_folder())
    models = [model for model in list_models() if args.model in (None, model.contract.name)]
    if not models:
        model_path(args.model)  # raises an error that lists the models
    results: dict[str, Any] = {"cpu": cpu_and_precisions()[0], "models": {}}
    for model in models:
        found = measured(model, cache, n_threads=args.threads, n_turns=args.turns)
        found["warm_start"] = warm_start_s(model)
        results["models"][model.contract.name] = found
    results["nothing_to_do"] = nothing_to_do_s(args.threads)
    results["missed"] = missed(results)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(results), indent=1).decode()
    args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
