"""Build every engine of a model, check its accuracy, time it, and choose one. Up-to-date engines are kept."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.backends import BuildRequest, Candidate, EngineMaker
from parfocal.engines.cache import EngineCache
from parfocal.engines.choose import Choice, Row, choices_so_far, fastest, save_choices
from parfocal.engines.errors import BuildFailed, EngineError, EngineStale, OutOfMemory
from parfocal.engines.gate import (
    DEFAULT_LIMITS,
    RULES_VERSION,
    deviation_of,
    is_near,
    predictions_um,
    refusal,
    worst,
)
from parfocal.engines.key import EngineKey, Int8Mode, Precision
from parfocal.engines.model.forms import FormMaker, form_content, int8_graph_um
from parfocal.engines.model.golden import Golden, golden_path, load_golden, sha256_of
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import Model
from parfocal.engines.predictor import Predictor
from parfocal.engines.progress import Report

N_WARM_UP: Final = 5
N_TIMED: Final = 60


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one engine.

    Attributes:
        row: its measurements.
        built: whether it was built in this run, not found in the cache.
        chosen: whether the instrument uses it.
        asked_for: whether it was chosen because the user named its precision.
    """

    row: Row
    built: bool
    chosen: bool
    asked_for: bool


@dataclass(frozen=True)
class _Run:
    """What all engines of one call of `build_all` share."""

    maker: EngineMaker
    make_form: FormMaker
    cache: EngineCache
    precision: Precision | None
    int8_mode: Int8Mode | None
    retry: bool
    report: Report
    detail: Report


def build_all(
    models: Sequence[Model],
    maker: EngineMaker,
    cache: EngineCache,
    *,
    make_form: FormMaker,
    precision: Precision | None = None,
    int8_mode: Int8Mode | None = None,
    retry: bool = False,
    report: Report = lambda _: None,
    detail: Report = lambda _: None,
) -> list[Outcome]:
    """Build, check and time the engines of all models, and save the choice.

    Args:
        models: models to build engines for.
        maker: the backend of this machine.
        cache: where engines and choices are kept.
        make_form: makes the INT8 and FP16 forms of a model, `parfocal.calib.quantise.forms.made_form`.
        precision: use this precision whatever the measurement says; None for the fastest accurate engine.
        int8_mode: how INT8 is quantised; None for the default of the backend.
        retry: try again what failed before, although nothing it depends on has changed.
        report: called at the start of each step.
        detail: called with the progress within a step, up to many times a second.

    Returns:
        One outcome per engine, in the order of the models. A model without a usable engine keeps its old choice.

    Raises:
        EngineError: the choice could not be written, or the INT8 mode is not available.
    """
    run = _Run(maker, make_form, cache, precision, int8_mode, retry, report, detail)
    with cache.locked(report):
        choices = before = choices_so_far(cache, report)
        outcomes: list[Outcome] = []
        for model in models:
            choice, results = _build_model(model, run, choices.get(model.label))
            choices = choices if choice is None else {**choices, model.label: choice}
            outcomes += results
        if choices != before:
            save_choices(cache, choices)
        known = [*(outcome.row for outcome in outcomes), *(row for c in choices.values() for row in c.rows)]
        cache.keep_only((model.label for model in models), (row.key for row in known if row.key is not None))
    return outcomes


def _build_model(model: Model, run: _Run, old: Choice | None) -> tuple[Choice | None, list[Outcome]]:
    """Return the choice for one model, None if no engine may be chosen, and the outcome of each engine."""
    precision = run.precision
    candidates = _candidates(run, model, old)
    results = [_row(model, run, candidate, old) for candidate in candidates]
    if precision == "int8" and run.maker.backend == "tensorrt" and results[0][0].failed:
        results[0] = _falling_back(*results[0])
        results.append(_row(model, run, ("fp16", "none"), old))
    rows = tuple(row for row, _ in results)
    chosen = fastest(rows) if precision is None else _asked_for(rows, precision)
    choice = None
    if chosen is not None and chosen.key is not None:
        choice = Choice(
            key=chosen.key,
            asked_for=chosen.precision == precision,
            rows=_kept(rows, old),
            in_place_of=precision if precision is not None and chosen.precision != precision else "",
        )
    asked_for = choice is not None and choice.asked_for
    return choice, [
        Outcome(row=row, built=built, chosen=row is chosen, asked_for=asked_for and row is chosen)
        for row, built in results
    ]


def _falling_back(row: Row, built: bool) -> tuple[Row, bool]:
    return msgspec.structs.replace(row, failed=f"{row.failed} Falling back to fp16."), built


def _candidates(run: _Run, model: Model, old: Choice | None) -> tuple[Candidate, ...]:
    """Return what to build: the requested engine, or all worth measuring and those measured before."""
    precision, int8_mode = run.precision, run.int8_mode
    if precision == "int8":
        return (("int8", int8_mode if int8_mode not in (None, "none") else "explicit"),)
    if precision is not None:
        return ((precision, "none"),)
    measured = (row for row in (old.rows if old else ()) if _is_up_to_date(row, model, run.maker))
    return tuple(
        dict.fromkeys(
            (*run.maker.candidates(int8_mode), *((row.precision, row.int8_mode) for row in measured))
        )
    )


def _is_up_to_date(row: Row, model: Model, maker: EngineMaker) -> bool:
    """Whether a build would give the same engine again."""
    if row.backend != maker.backend or row.failed:
        return False
    try:
        return maker.key(model, row.precision, row.int8_mode) == row.key
    except BuildFailed:
        return False


def _asked_for(rows: tuple[Row, ...], precision: Precision) -> Row | None:
    """Return the requested engine; if its build failed, the one built in its place that passed the gate."""
    return next((row for row in rows if not row.failed and (row.precision == precision or row.passed)), None)


def _kept(rows: tuple[Row, ...], old: Choice | None) -> tuple[Row, ...]:
    """Return the new rows together with the old rows of other engines."""
    there = {_slot(row) for row in rows}
    return (*rows, *(row for row in (old.rows if old else ()) if _slot(row) not in there))


def _slot(row: Row) -> tuple[str, str, str]:
    return row.backend, row.precision, row.int8_mode


def _row(model: Model, run: _Run, candidate: Candidate, old: Choice | None) -> tuple[Row, bool]:
    """Return the row of an engine, built now if necessary, and whether it was built."""
    maker, cache = run.maker, run.cache
    precision, int8_mode = candidate
    row = Row(model=model.label, backend=maker.backend, precision=precision, int8_mode=int8_mode)
    try:
        key = maker.key(model, precision, int8_mode)
        golden_sha256 = sha256_of(golden_path(model.path))
        row = msgspec.structs.replace(row, key=key, golden_sha256=golden_sha256, rules=RULES_VERSION)
        engine = None
        with contextlib.suppress(EngineStale):  # missing or built for another machine: build it
            engine = cache.load(key)
        known = [
            r
            for r in (old.rows if old else ())
            if (r.key, r.golden_sha256, r.rules) == (key, golden_sha256, RULES_VERSION) and not r.failed
        ]
        if engine is not None and known:
            return known[0], False
        golden = load_golden(model.path)
        graph_um = int8_graph_um(model.path, model.scales) if int8_mode == "explicit" else None
        built = engine is None
        if engine is None:
            engine = _build_engine(model, key, run)
            cache.store(key, engine)
        run.report(f"{key.slot}: checking")
        predictor = Predictor(maker.open(engine, key, model.contract), load_head(model.path, model.contract))
        row = _checked(row, predictor, key.batches, golden, graph_um)
    except EngineError as error:
        return msgspec.structs.replace(row, failed=str(error)), False
    return row, built


def _build_engine(model: Model, key: EngineKey, run: _Run) -> bytes:
    """Build an engine, unless its last build failed: on a Jetson a failure takes minutes."""
    reason = run.cache.failure(key)
    if reason and not run.retry:
        raise BuildFailed(f"{reason} (It failed before; `parfocal engine build --retry` tries again.)")
    run.report(f"{key.slot}: building")
    try:
        onnx = form_content(model.path, key.form, run.make_form, model.scales)
        return run.maker.build(BuildRequest(model, key, onnx, run.cache, run.detail))
    except OutOfMemory:  # there may be more memory next time
        raise
    except BuildFailed as error:
        run.cache.store_failure(key, str(error))
        raise


def _checked(
    row: Row,
    predictor: Predictor,
    batches: tuple[int, ...],
    golden: Golden,
    graph_um: NDArray[np.float32] | None,
) -> Row:
    """Time an engine, and compare it with the reference at every batch size: each may have its own kernels."""
    if not is_near(golden.distance_um).any():
        raise BuildFailed(
            f"check of model {row.model} failed: none of its {len(golden.distance_um)} golden patches is within "
            f"{DEFAULT_LIMITS.near_um:g} um of the focus. Export it again with stacks that pass through the focus."
        )
    ms_p50, ms_p95 = timed_ms(predictor, golden, batches[0])
    timed = msgspec.structs.replace(row, batch=batches[0], ms_p50=ms_p50, ms_p95=ms_p95)
    found = [predictions_um(predictor, golden, batch) for batch in batches]
    if not all(np.isfinite(predicted_um).all() for predicted_um in found):
        return msgspec.structs.replace(timed, refused="some predictions are not finite numbers")
    deviation = worst([deviation_of(um, golden.reference_um, golden.distance_um, graph_um) for um in found])
    return msgspec.structs.replace(timed, deviation=deviation, refused=refusal(deviation, DEFAULT_LIMITS))


def timed_ms(predictor: Predictor, golden: Golden, batch: int) -> tuple[float, float]:
    """Return median and 95th percentile of the time of one prediction, in ms."""
    patches = np.ascontiguousarray(golden.batch[np.arange(batch) % len(golden.batch)])
    times_s = []
    for _ in range(N_WARM_UP + N_TIMED):
        began_s = time.perf_counter()
        predictor.predict(patches)
        times_s.append(time.perf_counter() - began_s)
    p50, p95 = np.percentile(np.array(times_s[N_WARM_UP:]) * 1e3, (50, 95))
    return round(float(p50), 3), round(float(p95), 3)
