"""`parfocal calibrate int8`: the ranges of a model's activations, measured on stacks of this microscope.

A model ships with ranges that were measured on other microscopes. Those of this one are kept only if the INT8 form that
they give follows the FP32 model better, on stacks that nothing was measured on, and its engine passes the accuracy
gate. No runtime but OpenVINO is needed.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95
from parfocal.calib.models.coverage import Z_BINS, Coverage, Seen, coverage_of, dyes_of, z_bin
from parfocal.calib.motion.play import peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.keeper import Found, Keeper, Stamp
from parfocal.edge.calibrate.optics.model_view import Plane, curve_of, pairs_of
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.shots import Shot
from parfocal.engines.cpu.outputs import GraphOnCpu
from parfocal.engines.model.forms import Int8Scales, load_int8, scales_of
from parfocal.engines.model.golden import load_golden
from parfocal.engines.model.shipped import Model
from parfocal.engines.predictor import Predictor

STEM = "int8"
METHOD = "{n} stacks, a pair in each fifth of the model's range; a quarter of them judged"
JUDGES_EVERY = 4
SAME_UM = 0.005  # rounding; a hundredth of half the depth of field at 20x/0.75
Batch = NDArray[np.float32]


class Provenance(msgspec.Struct, frozen=True):
    """Where a stack came from, and what it shows."""

    name: str
    seen: Seen


class RawInt8(msgspec.Struct, frozen=True):
    """What the ranges were measured on, and how far the INT8 form then deviates from FP32 on the stacks that judge, um.

    `before_um` is the deviation with the ranges that were in force before, `judged_um` that of each stack. `refused`
    says why nothing was kept.
    """

    model: str
    model_sha256: str
    stacks: tuple[Provenance, ...]
    passed_over: tuple[str, ...]
    coverage: Coverage
    ranges: dict[str, float] = {}
    deviation_um: float | None = None
    before_um: float | None = None
    judged_um: tuple[float, ...] = ()
    refused: str | None = None


class Int8Result(msgspec.Struct, frozen=True):
    """The ranges of a model that are in force from now on. Deviations: mean, from FP32, on the stacks that judged.

    `before_um` is that of the ranges that were in force before. `file` is what was written beside the store.
    """

    model: str
    coverage: Coverage
    deviation_um: float
    uncertainty_um: float
    before_um: float
    file: str


def is_worse(off_um: float, before_um: float, objective: str) -> bool:
    """Whether the INT8 form deviates more from FP32 than before, by more than rounding through this objective."""
    return off_um > before_um + depth_scale(objective) * SAME_UM


class Int8Calibration:
    """Collects prepared patches of the two-shot model, and measures the ranges of its activations on them."""

    def __init__(
        self, predictor: Predictor, model: Model, focus: FocusConfig, store: Store, stamp: Stamp
    ) -> None:
        """`predictor` is that of the model as it ships. Raises CalibError for a store that takes nothing."""
        self._predictor, self._model, self._focus = predictor, model, focus
        self._keeper = Keeper(store, stamp)
        self._batches: list[Batch] = []
        self._stacks: list[Provenance] = []
        self._passed_over: list[str] = []

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why stacks were not used, a sentence each."""
        return tuple(self._passed_over)

    @property
    def coverage(self) -> Coverage:
        """What the stacks show so far."""
        return coverage_of([one.seen for one in self._stacks], self._model.contract.range_um)

    def add(self, name: str, shots: Iterable[Shot]) -> None:
        """Prepare a pair in each part of the range; a stack without a clear focus is passed over."""
        planes = [Plane(shot) for shot in shots]
        range_um = self._model.contract.range_um
        try:
            focus_um = peak_of(curve_of(planes)).z_um
        except (CalibPoor, ValueError) as error:
            self._passed_over.append(f"{name}: {error}")
            return
        chosen: dict[int, tuple[Plane, Plane]] = {}
        middles_um = (np.arange(Z_BINS) + 0.5) * 2.0 * range_um / Z_BINS - range_um
        for first, second in pairs_of(planes, self._focus.delta_um):
            distance_um = focus_um - second.z_um
            if second.is_blank or abs(distance_um) > range_um:
                continue
            k = z_bin(distance_um, range_um)
            off_um = abs(distance_um - middles_um[k])
            if k not in chosen or off_um < abs(focus_um - chosen[k][1].z_um - middles_um[k]):
                chosen[k] = (first, second)
        if not chosen:
            self._passed_over.append(f"{name}: no two of its planes are {self._focus.delta_um:g} um apart")
            return
        self._batches.append(np.concatenate([self._patch(*pair) for pair in chosen.values()]))
        sharpest = min(planes, key=lambda plane: abs(plane.z_um - focus_um))
        distances_um = tuple(round(focus_um - second.z_um, 3) for _, second in chosen.values())
        self._stacks.append(Provenance(name, Seen(distances_um, dyes_of(sharpest.smoothed))))

    def measured(self) -> tuple[Int8Scales, RawInt8]:
        """The ranges, judged on every fourth stack.

        Raises CalibPoor where the stacks show too little, or the ranges in force are better; nothing is kept.
        """
        from parfocal.calib.quantise.forms import (
            int8_in_float,
            measured_ranges,
        )  # the onnx package takes a while

        coverage, model = self.coverage, self._model
        raw = RawInt8(
            model.contract.name, load_int8(model.path).fp32, tuple(self._stacks), self.passed_over, coverage
        )
        if coverage.too_little:
            raise self._poor(f"int8 refused: too little is seen. {'; '.join(coverage.too_little)}.", raw)
        judges = self._batches[::JUDGES_EVERY]
        shown = [batch for k, batch in enumerate(self._batches) if k % JUDGES_EVERY]
        fp32 = model.path.read_bytes()
        ranges = measured_ranges(fp32, shown, lambda onnx: GraphOnCpu(onnx).outputs)
        off_um = self._off_um(int8_in_float(fp32, ranges), judges)
        before_um = self._off_um(int8_in_float(fp32, load_int8(model.path, model.scales).ranges), judges)
        raw = msgspec.structs.replace(
            raw,
            ranges=ranges,
            deviation_um=float(np.mean(off_um)),
            before_um=float(np.mean(before_um)),
            judged_um=tuple(off_um),
        )
        if is_worse(float(np.mean(off_um)), float(np.mean(before_um)), model.contract.objective):
            raise self._poor(
                f"int8 refused: with the measured ranges the INT8 form deviates by {np.mean(off_um):.4f} um from FP32, "
                f"with those in force by {np.mean(before_um):.4f} um.",
                raw,
            )
        golden = load_golden(model.path).batch
        golden_um = np.concatenate(self._said_um(int8_in_float(fp32, ranges), [golden]))
        return scales_of(model.path, ranges, golden_um), raw

    def refused(self, why: str, raw: RawInt8) -> CalibPoor:
        """The error of ranges whose engine does not pass the accuracy gate."""
        return self._poor(f"int8 refused: {why}.", raw)

    def keep(self, raw: RawInt8) -> Int8Result:
        """Keep what was measured. Raises CalibError."""
        deviation_um, before_um = raw.deviation_um or 0.0, raw.before_um or 0.0
        n, uncertainty_um = len(raw.judged_um), 0.0
        if n > 1:
            uncertainty_um = half_width_95(float(np.var(raw.judged_um, ddof=1)) / n, n - 1)
        found = (Found("int8_deviation_um", deviation_um, uncertainty_um),)
        file = self._keeper.keep(found, METHOD.format(n=len(self._stacks)), STEM, raw)
        return Int8Result(raw.model, raw.coverage, deviation_um, uncertainty_um, before_um, file)

    def _patch(self, first: Plane, second: Plane) -> Batch:
        """The patch of a pair with the most contrast, (1, c, h, w)."""
        with_second = self._model.contract.kind == "pair"
        before, after = prepare.planes_of(first.smoothed), prepare.planes_of(second.smoothed)
        batch = prepare.two_shot_batch(before, after, self._focus.patch_px, with_second)
        best = int(np.argmax(second.contrasts))
        patch: Batch = batch[best : best + 1].copy()
        return patch

    def _off_um(self, graph: bytes, batches: Sequence[Batch]) -> list[float]:
        """How far a graph deviates from FP32, mean of each stack."""
        fp32_um = self._said_um(self._model.path.read_bytes(), batches)
        return [
            float(np.abs(ours - right).mean())
            for ours, right in zip(self._said_um(graph, batches), fp32_um, strict=True)
        ]

    def _said_um(self, graph: bytes, batches: Sequence[Batch]) -> list[NDArray[np.float32]]:
        opened, name = GraphOnCpu(graph), self._model.contract.output_name
        return [self._predictor.read(opened.outputs(batch)[name]).distance_um for batch in batches]

    def _poor(self, why: str, raw: RawInt8) -> CalibPoor:
        error = CalibPoor(f"{why} Add stacks of `parfocal record` from other fields and slides with --from.")
        return self._keeper.poor(error, "int8", STEM, msgspec.structs.replace(raw, refused=why))
