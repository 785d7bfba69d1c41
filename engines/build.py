"""`make engine`: build every engine, judge it, time it, choose one. What is built and judged already is kept."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from parfocal.engines.backends import Candidate, EngineMaker, Report
from parfocal.engines.cache import EngineCache, EngineKey, Int8Mode, Precision
from parfocal.engines.choose import Choice, Row, fastest, load_choices, save_choices
from parfocal.engines.errors import BuildFailed, EngineError, EngineStale
from parfocal.engines.gate import DEFAULT_LIMITS, deviation_of, predictions_um, refusal
from parfocal.engines.golden import Golden, golden_path, load_golden, sha256_of
from parfocal.engines.models import Model
from parfocal.engines.runner import Runner

N_WARM_UP: Final = 5
N_TIMED: Final = 60


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one engine.

    Attributes:
        row: what is known of it.
        built: whether it was built now, not found as it was.
        chosen: whether the instrument uses it.
        asked_for: whether that is because somebody named its precision.
    """

    row: Row
    built: bool
    chosen: bool
    asked_for: bool


@dataclass(frozen=True)
class _Machine:
    """What all engines are built with."""

    maker: EngineMaker
    cache: EngineCache
    retry: bool
    report: Report


def build_all(
    models: Sequence[Model],
    maker: EngineMaker,
    cache: EngineCache,
    *,
    precision: Precision | None = None,
    int8_mode: Int8Mode | None = None,
    retry: bool = False,
    report: Report = lambda _: None,
) -> list[Outcome]:
    """Build, judge and time the engines of all models, and write the choice.

    Args:
        models: to build of.
        maker: what builds on this machine.
        cache: where engines and choice are kept.
        precision: to use whatever the measurement says; None for the fastest that is accurate enough.
        int8_mode: how INT8 is made where it is wanted; None for what the backend takes best.
        retry: build what failed before although nothing that it depends on has changed.
        report: told of the progress.

    Returns:
        One outcome for each engine, models in order. A model of which no engine came keeps its old choice.

    Raises:
        EngineError: the choice cannot be read or written, or the mode is not to be had.
    """
    choices = load_choices(cache)
    machine = _Machine(maker, cache, retry, report)
    outcomes = []
    for model in models:
        name = model.contract.name
        candidates = _candidates(maker, precision, int8_mode)
        results = [_row(model, machine, candidate, choices.get(name)) for candidate in candidates]
        if precision == "int8" and maker.backend == "tensorrt" and results[0][0].failed:
            report(f"{name}: int8 failed, falling back to fp16")
            results.append(_row(model, machine, ("fp16", "none"), choices.get(name)))
        rows = tuple(row for row, _ in results)
        chosen = fastest(rows) if precision is None else _asked_for(rows)
        if chosen is not None and chosen.key is not None:
            choices[name] = Choice(
                key=chosen.key, asked_for=precision is not None, rows=_kept(rows, choices.get(name))
            )
        outcomes += [
            Outcome(
                row=row, built=built, chosen=row is chosen, asked_for=row is chosen and precision is not None
            )
            for row, built in results
        ]
    if any(outcome.built or outcome.chosen for outcome in outcomes) and choices != load_choices(cache):
        save_choices(cache, choices)
    return outcomes


def _candidates(
    maker: EngineMaker, precision: Precision | None, int8_mode: Int8Mode | None
) -> tuple[Candidate, ...]:
    if precision is None:
        return maker.candidates(int8_mode)
    if precision == "int8":
        return (("int8", int8_mode if int8_mode not in (None, "none") else "explicit"),)
    return ((precision, "none"),)


def _asked_for(rows: tuple[Row, ...]) -> Row | None:
    """Return the last engine that there is: the one asked for, or what was built in its place."""
    return next((row for row in reversed(rows) if not row.failed), None)


def _kept(rows: tuple[Row, ...], old: Choice | None) -> tuple[Row, ...]:
    """Return the rows together with those of other engines, which stay as they are."""
    there = {_slot(row) for row in rows}
    return (*rows, *(row for row in (old.rows if old else ()) if _slot(row) not in there))


def _slot(row: Row) -> tuple[str, str, str]:
    return row.backend, row.precision, row.int8_mode


def _row(model: Model, machine: _Machine, candidate: Candidate, old: Choice | None) -> tuple[Row, bool]:
    """Return what is known of an engine after building it if need be, and whether it was built."""
    maker, cache = machine.maker, machine.cache
    precision, int8_mode = candidate
    row = Row(model=model.contract.name, backend=maker.backend, precision=precision, int8_mode=int8_mode)
    try:
        key = maker.key(model, precision, int8_mode)
        row = msgspec.structs.replace(row, key=key, golden_sha256=sha256_of(golden_path(model.path)))
        engine = _cached(cache, key, machine.report)
        known = [
            r
            for r in (old.rows if old else ())
            if (r.key, r.golden_sha256) == (key, row.golden_sha256) and not r.failed
        ]
        if engine is not None and known:
            return known[0], False
        golden = load_golden(model.path)
        built = engine is None
        if engine is None:
            engine = _built(model, key, machine, golden)
        row = _judged(row, maker.open(engine, key, model.contract), key.batches[0], golden)
        if built:
            cache.store(key, engine)
    except EngineError as error:
        return msgspec.structs.replace(row, failed=str(error)), False
    return row, built


def _built(model: Model, key: EngineKey, machine: _Machine, golden: Golden) -> bytes:
    """Build an engine, unless that failed before: it takes minutes on a Jetson to fail."""
    reason = machine.cache.failure(key)
    if reason and not machine.retry:
        raise BuildFailed(f"{reason} (It failed before; `parfocal engine build --retry` tries again.)")
    machine.report(f"{key.slot}: building")
    try:
        return machine.maker.build(model, key, machine.cache, golden.calibration, machine.report)
    except BuildFailed as error:
        machine.cache.store_failure(key, str(error))
        raise


def _cached(cache: EngineCache, key: EngineKey, report: Report) -> bytes | None:
    try:
        return cache.load(key)
    except EngineStale as error:
        report(str(error))
        return None


def _judged(row: Row, runner: Runner, batch: int, golden: Golden) -> Row:
    deviation = deviation_of(predictions_um(runner, golden, batch), golden.reference_um, golden.distance_um)
    ms_p50, ms_p95 = timed_ms(runner, golden, batch)
    return msgspec.structs.replace(
        row,
        batch=batch,
        ms_p50=ms_p50,
        ms_p95=ms_p95,
        deviation=deviation,
        refused=refusal(deviation, DEFAULT_LIMITS),
    )


def timed_ms(runner: Runner, golden: Golden, batch: int) -> tuple[float, float]:
    """Return median and 95th percentile of one inference, in ms."""
    patches = np.ascontiguousarray(golden.batch[np.arange(batch) % len(golden.batch)])
    times_s = []
    for _ in range(N_WARM_UP + N_TIMED):
        began_s = time.perf_counter()
        runner.infer(patches)
        times_s.append(time.perf_counter() - began_s)
    p50, p95 = np.percentile(np.array(times_s[N_WARM_UP:]) * 1e3, (50, 95))
    return round(float(p50), 3), round(float(p95), 3)
