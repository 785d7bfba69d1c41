"""`parfocal calibrate int8` on stacks of noise: what it keeps, and what it refuses."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.quantise import forms
from parfocal.calib.store import Store
from parfocal.edge.calibrate.int8 import Int8Calibration, is_worse
from parfocal.edge.cli.calibrating import int8_verb
from parfocal.edge.cli.calibrating.bench import Bench
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.shots import Shot
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.forms import load_int8
from parfocal.engines.model.shipped import measured_scales_name, model_at, with_measured_scales
from parfocal.engines.predictor import Predictor
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP
from tests.engines.conftest import written_model, written_scales
from tools.engines.int8 import save

FOCUS = FocusConfig(patch_px=32)
Z_UM = np.arange(-12.0, 10.6, 1.0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    model = written_model(folder)
    written_scales(model)
    # Those of other microscopes do not suit this one.
    save(model, {name: 6.0 * um for name, um in load_int8(model).ranges.items()})
    return model


def frame(number: int, defocus_um: float) -> UInt8Array:
    """Tissue of two dyes, blurred by its defocus."""
    amount = np.random.default_rng(number).random((80, 80)) > 0.5
    pixels = np.full((80, 80, 3), 240, np.uint8)
    pixels[amount] = (230, 130, 170)
    pixels[:, :40][amount[:, :40]] = (90, 60, 160)
    return cv2.GaussianBlur(pixels, (0, 0), 0.4 + 0.3 * abs(defocus_um)).astype(np.uint8)


def calibration(path: Path, store: Store, n_stacks: int = 8) -> Int8Calibration:
    predictor = Predictor(OpenVinoRunner(path, n_threads=1))
    running = Int8Calibration(predictor, model_at(path), FOCUS, store, STAMP)
    for number in range(n_stacks):
        running.add(f"s{number}", [Shot(float(z), frame(number, z), FOCUS) for z in Z_UM])
    return running


def test_ranges_are_measured_on_three_quarters_of_the_stacks_and_kept(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, measured, measured_on = Store(tmp_path, OWNER), forms.measured_ranges, []

    def watched(fp32: bytes, batches: Sequence[NDArray[np.float32]], open_graph: Any) -> dict[str, float]:  # noqa: ANN401
        measured_on.append(len(batches))
        return measured(fp32, batches, open_graph)

    monkeypatch.setattr(forms, "measured_ranges", watched)
    running = calibration(path, store)
    assert running.coverage.too_little == ()
    running.add("flat", [Shot(float(z), np.full((80, 80, 3), 240, np.uint8), FOCUS) for z in Z_UM])
    assert running.passed_over[0].startswith("flat: upward focus curve")
    scales, raw = running.measured()
    assert scales.ranges == raw.ranges
    assert (measured_on, len(raw.judged_um)) == ([6], 2)  # no stack judges what was measured on it
    assert raw.deviation_um is not None
    assert raw.before_um is not None
    assert raw.deviation_um <= raw.before_um
    result = running.keep(raw)
    kept = store.load().int8_deviation_um
    assert kept is not None
    assert (kept.value, kept.raw) == (raw.deviation_um, result.file)
    assert '"name": "s7"' in (tmp_path / result.file).read_text()


def test_stacks_that_show_too_little_are_refused_with_what_is_missing(path: Path, tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    running = calibration(path, store, 4)
    with pytest.raises(
        CalibPoor, match=r"too little is seen\. fields: 4 stacks.*Add stacks of `parfocal record`"
    ):
        running.measured()
    with pytest.raises(CalibMissing):
        store.load()
    assert '"refused": "int8 refused' in next(tmp_path.glob("*.json")).read_text()


def test_ranges_that_follow_fp32_less_well_are_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = {name: 50.0 * um for name, um in load_int8(path).ranges.items()}
    monkeypatch.setattr(forms, "measured_ranges", lambda *_arguments: coarse)
    with pytest.raises(
        CalibPoor, match=r"with the measured ranges the INT8 form deviates by .* from FP32, with those"
    ):
        calibration(path, Store(tmp_path, OWNER)).measured()


@pytest.mark.parametrize(("objective", "rounding_um"), [("20x/0.75", 0.005), ("10x/0.3", 0.031)])
def test_rounding_is_as_many_depths_of_field_through_every_objective(
    objective: str, rounding_um: float
) -> None:
    assert not is_worse(0.04 + 0.9 * rounding_um, 0.04, objective)
    assert is_worse(0.04 + 1.1 * rounding_um, 0.04, objective)


@pytest.mark.parametrize("refused", ["", "too far off"])
def test_only_ranges_whose_engine_passes_the_gate_are_in_force(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    store, cache, told = Store(tmp_path / "store", OWNER), EngineCache(tmp_path / "engines"), StringIO()
    monkeypatch.setattr("parfocal.engines.build.refusal", lambda *_arguments: refused)
    bench = cast("Any", Bench)(None, None, store, STAMP, Console(file=told, width=200), None)
    running, model = calibration(path, store), model_at(path)
    if refused:
        with pytest.raises(CalibPoor, match="int8 refused: int8 refused: too far off"):
            int8_verb.kept(bench, running, model, cache)
        assert not (cache.folder / measured_scales_name(model)).exists()
        return
    result = int8_verb.kept(bench, running, model, cache)
    ours = with_measured_scales(model, cache.folder)
    assert load_int8(path, ours.scales).ranges != load_int8(path).ranges
    assert f"deviates by {result.deviation_um:.4f}" in told.getvalue()
