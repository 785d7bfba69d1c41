"""`parfocal calibrate optics` on a microscope whose model says too much, and what is made of the result."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibError, CalibMissing, CalibPoor, CalibRefused
from parfocal.calib.models.levels import Limit
from parfocal.calib.store import Calibration, OpticsModel, Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.optics import model_view, run
from parfocal.edge.calibrate.optics.model_view import Plane, plane_heights, seen_by
from parfocal.edge.calibrate.optics.one_model import LIMITS, ModelName, OneModel
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.calibrate.optics.transfer import exported, import_optics
from parfocal.edge.config import Config
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.edge.measured.optics_file import KeptStack, Taught, optics_bytes, stacks_in, taught_in
from parfocal.edge.measured.optics_in_use import model_digest, optics_of, why_not_used
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import CondenserTerms, Contract, HeadTerms
from parfocal.engines.predictor import Correction, Predictor
from tests.contracts import difference_contract
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Plain
from tests.edge.scope import with_focus
from tests.heads import made_head

STAMP = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "0.1.0")
OWNER = Owner(1, "20x/0.75")
SAYS = 1.25  # um for each um; a gain of 0.8 corrects it
F = 6


class SaysTooMuch:
    """A runner that knows the height of the second shot, and says too long a distance."""

    contract: Contract = difference_contract(name="says-too-much")
    z2_um = 0.0

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(batch), 1), SAYS * (FOCUS_Z_UM - self.z2_um) + 0.3, np.float32)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> SaysTooMuch:
    made, pairs = SaysTooMuch(), model_view.pairs_of

    def told(planes: list[Plane], delta_um: float) -> Iterator[tuple[Plane, Plane]]:
        for first, second in pairs(planes, delta_um):
            made.z2_um = second.z_um
            yield first, second

    monkeypatch.setattr(model_view, "pairs_of", told)
    return made


def calibrated(store: Store, runner: SaysTooMuch, config: Config = CONFIG) -> OpticsCalibration:
    return calibration_of(store, two_shot(Predictor(runner)), config)


def two_shot(predictor: Predictor) -> OneModel:
    """The configured two-shot model, predicting with `predictor`."""
    name = CONFIG.focus.model
    return OneModel("optics", predictor, ModelName(name, model_digest(name) or ""))


def calibration_of(store: Store, model: OneModel, config: Config = CONFIG) -> OpticsCalibration:
    return OpticsCalibration(Plain({}).instrument, config, store, STAMP, Models(model))


def places(config: Config = CONFIG, n: int = 3) -> list[tuple[float, float]]:
    return [(config.scan.origin_x_um + 60.0 * k, config.scan.origin_y_um) for k in range(n)]


def test_a_model_that_says_too_much_is_corrected_from_then_on(runner: SaysTooMuch, tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    running = calibrated(store, runner)
    steps: list[str] = []
    running.take(places(), 2, steps.append)
    result = running.fit().two_shot
    assert (result.chosen, result.condenser, result.n_stacks) == ("line", None, 2)
    assert result.gain == pytest.approx(0.8, abs=0.01)
    assert result.offset_um == pytest.approx(-0.24, abs=0.05)
    assert len(steps) == 2 + 3 * 2 - 1  # no more fields than stacks were visited
    used, correction, (note,) = optics_of(store.load(), CONFIG, store)
    assert used is not None
    assert (used.level, used.gain) == ("line", result.gain)
    assert "optics: distances times 0.80, less 0.21 um (error 0." in note
    corrected = Predictor(runner).corrected(correction)
    runner.z2_um = FOCUS_Z_UM - 5.0
    assert corrected.predict(np.zeros((1, 3, 224, 224), np.float32)).distance_um[0] == pytest.approx(
        5.0, abs=0.1
    )
    assert corrected.range_um == pytest.approx(8.0, abs=0.1)
    # More stacks are added to those in force, of the same model only.
    again = calibrated(store, runner)
    assert again.take_earlier() == 2
    assert again.fit().two_shot.n_stacks == 2
    other = msgspec.structs.replace(store.load().optics, model_sha256="0" * 64)  # type: ignore[type-var]
    store.keep_all({"optics": other})
    assert calibrated(store, runner).take_earlier() == 0


def test_fields_without_a_focus_are_passed_over_and_too_few_stacks_refused(
    runner: SaysTooMuch, tmp_path: Path
) -> None:
    store = Store(tmp_path, OWNER)
    running = calibrated(store, runner)
    off_slide = (CONFIG.scan.origin_x_um + 900.0, CONFIG.scan.origin_y_um + 900.0)
    running._config = with_focus(CONFIG, first_sweep_step_um=4.0)  # quicker
    running.take([off_slide] * 9, 2, lambda _words: None)
    assert len(running.passed_over) == 6  # there is no point in going on
    why = running.passed_over[0]
    assert why.startswith(f"field at x={off_slide[0]:.0f} y={off_slide[1]:.0f} um: upward focus curve of")
    with pytest.raises(CalibPoor, match=r"0 of the fields gave a stack.*what was seen is in"):
        running.fit()
    with pytest.raises(CalibMissing):
        store.load()


def test_planes_of_a_stack_are_as_far_apart_as_the_focus_rule_takes_its_shots() -> None:
    heights_um = plane_heights(2500.0, Predictor(SaysTooMuch()), CONFIG.focus, 0.3125)
    assert np.diff(heights_um) == pytest.approx(0.625)
    # delta of 2 um is 6 steps: a second shot 10 um below the focus has its first shot 1.875 um farther down.
    assert heights_um[0] == pytest.approx(2500.0 - 10.0 - 1.875)
    assert heights_um[-1] == pytest.approx(2500.0 + 10.0)


TERMS = HeadTerms(sha256="0" * 64, features=F, condenser=CondenserTerms(default=0.6, least=0.3, most=0.9))


class Features:
    """A runner of a model whose head lies outside of its graph."""

    contract: Contract = difference_contract(name="features", head=TERMS)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.random.default_rng(3).normal(size=(len(batch), F)).astype(np.float32)


def predictor() -> Predictor:
    return Predictor(Features(), made_head(F, takes_condenser=True, tells_sigma=True, tells_strangeness=True))


def kept(n: int) -> KeptStack:
    rng = np.random.default_rng(n)
    true_um, contrast, outputs = (rng.normal(size=s).astype(np.float32) for s in ((9,), (9, 4), (9, 4, F)))
    return KeptStack(true_um, np.abs(contrast), outputs)


def test_what_the_fit_adds_to_the_last_layer_is_what_the_predictor_does() -> None:
    stack = kept(1)
    (seen,) = seen_by([stack], predictor().corrected(Correction(condenser=0.4)))
    assert seen.hidden is not None
    weights = np.random.default_rng(2).normal(0.0, 0.3, (seen.hidden.shape[2],))
    expected_um: NDArray[np.float64] = 0.8 * (seen.predicted_um + seen.hidden @ weights + 0.7) - 0.1
    taught = weights.reshape(3, -1).astype(np.float32)
    changed = predictor().corrected(Correction(0.8, -0.1, 0.4, taught, 0.7, 9.0, 1.5))
    found = changed.read(stack.outputs.reshape(-1, F))
    np.testing.assert_allclose(found.distance_um.reshape(9, 4), expected_um, atol=1e-4)
    assert found.strangeness_limit == 9.0
    plain = predictor().corrected(Correction(condenser=0.4)).read(stack.outputs.reshape(-1, F))
    assert plain.strangeness_limit == 2.5
    # What is fitted to the mean of the members does not drive them apart: the uncertainty is that of the model, scaled.
    assert found.sigma_um is not None
    assert plain.sigma_um is not None
    np.testing.assert_allclose(found.sigma_um, 0.8 * 1.5 * plain.sigma_um, rtol=1e-5)
    assert (changed.condenser, predictor().condenser) == (0.4, 0.6)
    assert changed.corrected(Correction()).condenser == 0.6
    with pytest.raises(InputMismatch, match="Run `parfocal calibrate optics`"):
        predictor().corrected(Correction(weights=np.zeros((3, 7), np.float32)))


def test_the_file_of_the_optics_comes_back_as_it_was_written() -> None:
    stacks, taught = (kept(1), kept(2)), Taught(np.ones((3, 4), np.float32), 0.5)
    data = optics_bytes(stacks, taught)
    assert [one.outputs.tolist() for one in stacks_in(data)] == [one.outputs.tolist() for one in stacks]
    back = taught_in(data)
    assert back is not None
    assert (back.weights.tolist(), back.bias_um) == (taught.weights.tolist(), 0.5)
    assert taught_in(optics_bytes(stacks, None)) is None
    with pytest.raises(ValueError, match="no NumPy archive"):
        stacks_in(data[:100])


def has_stacks(model: OneModel) -> None:
    """Two stacks of an earlier run, on which it says too much."""
    stack = KeptStack(
        np.linspace(9.0, -9.0, 20, dtype=np.float32),
        np.ones((20, 4), np.float32),
        (SAYS * np.linspace(9.0, -9.0, 20)[:, None, None] + 0.3 * np.ones((20, 4, 1))).astype(np.float32),
    )
    model.kept, model.n_earlier = [stack] * 2, 2


@pytest.fixture
def measured(runner: SaysTooMuch, tmp_path: Path) -> tuple[Store, ModelName]:
    """A store with optics of recorded stacks of the configured model."""
    store = Store(tmp_path / "one", OWNER)
    model = two_shot(Predictor(runner))
    has_stacks(model)
    calibration_of(store, model).fit()
    return store, model.model


def test_exported_optics_are_taken_by_the_same_microscope_and_refused_by_any_other(
    measured: tuple[Store, ModelName], tmp_path: Path
) -> None:
    store, model = measured
    data = exported(store)
    moved = Store(tmp_path / "moved", OWNER)
    import_optics(moved, data, "f", model)
    assert optics_of(moved.load(), CONFIG, moved)[0] == optics_of(store.load(), CONFIG, store)[0]
    cases: list[tuple[Store, bytes, ModelName, str]] = [
        (Store(tmp_path / "x", Owner(2, "20x/0.75")), data, model, "it was measured on board 1 with"),
        (
            Store(tmp_path / "x", Owner(1, "40x/0.95")),
            data,
            model,
            "but this is board 1 with objective 40x/0.95",
        ),
        (moved, data, ModelName("other", "1" * 64), "it belongs to model difference-20x"),
        (moved, data[:200], model, "it is no exported calibration"),
    ]
    for target, given, of_model, why in cases:
        before = target.path.read_bytes() if target.path.exists() else b""
        with pytest.raises(CalibRefused, match=why):
            import_optics(target, given, "f", of_model)
        assert (target.path.read_bytes() if target.path.exists() else b"") == before
    with pytest.raises(CalibMissing, match="no calibration of"):
        exported(Store(tmp_path / "empty", OWNER))


def test_optics_are_used_with_the_model_they_were_measured_with_and_without_a_configured_condenser(
    measured: tuple[Store, ModelName],
) -> None:
    store, _ = measured
    found = store.load()
    assert why_not_used(found, CONFIG) is None
    other = with_focus(CONFIG, model="single-20x")
    used, correction, (note,) = optics_of(found, other, store)
    assert (used, correction.gain) == (None, 1.0)
    assert "another one. Run `parfocal calibrate optics`" in note
    assert found.optics_error_um is not None
    condenser = msgspec.structs.replace(found.optics_error_um, value=0.45)
    at = msgspec.structs.replace(found, optics_condenser=condenser)
    why = why_not_used(at, with_focus(CONFIG, condenser=0.6))
    assert why is not None
    assert "focus.condenser = 0.6 is configured, but 0.45" in why


def test_a_store_whose_optics_are_damaged_is_refused_by_name(measured: tuple[Store, ModelName]) -> None:
    store, _ = measured
    found = store.load()
    assert found.optics is not None
    text = store.path.read_text()
    for old, new, why in (
        (found.optics.model_sha256, "nothing", "model_sha256"),
        ('level = "line"', 'level = "magic"', "level"),
        (f'file = "{found.optics.file}"', 'file = "../other"', "name of a file beside"),
        ("[optics]", "[optics_gain_of_none]", "optics_gain_of_none"),
    ):
        store.path.write_text(text.replace(old, new))
        with pytest.raises(CalibRefused, match=why):
            store.load()
    store.path.write_text(text)
    path = store.path.with_name(found.optics.file)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CalibRefused, match="is not the file that"):
        store.read_file(found.optics)
    path.unlink()
    with pytest.raises(CalibError, match="cannot be read"):
        store.read_file(found.optics)


def test_a_value_of_optics_without_its_model_is_refused(measured: tuple[Store, ModelName]) -> None:
    found = measured[0].load()
    values = {name: getattr(found, name) for name in found.__struct_fields__}
    with pytest.raises(ValueError, match="both or neither"):
        Calibration(**{**values, "optics": None})
    assert found.optics is not None
    data = measured[0].read_file(found.optics)
    assert hashlib.sha256(data).hexdigest() == found.optics.file_sha256


def with_head(true_of: Predictor) -> OneModel:
    """A model with a head, and stacks whose true distances are what `true_of` says."""
    model = two_shot(predictor())
    for seed in range(4):
        features = np.random.default_rng(seed).normal(size=(40, 1, F)).astype(np.float32)
        true_um = true_of.read(features.reshape(-1, F)).distance_um
        model.kept.append(KeptStack(true_um, np.ones((40, 1), np.float32), features))
    model.n_earlier = 4
    return model


def test_the_condenser_of_an_instrument_is_found_and_given_to_the_head(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    at_45 = predictor().corrected(Correction(condenser=0.45))
    model = with_head(at_45)
    result = calibration_of(store, model).fit().two_shot
    assert [level.level for level in result.levels] == ["shipped", "line", "condenser", "head"]
    assert (result.chosen, result.gain) == ("condenser", None)
    assert result.condenser == pytest.approx(0.45, abs=0.03)
    used, correction, _ = optics_of(store.load(), CONFIG, store)
    assert used is not None
    assert str(used).startswith("condenser 0.4")
    assert predictor().corrected(correction).condenser == result.condenser
    assert correction.strangeness_limit is not None
    assert correction.sigma_scale >= 1.0  # stacks of one slide make no model more certain
    # A condenser that the user decided is not fitted.
    decided = calibration_of(store, model, with_focus(CONFIG, condenser=0.6)).fit().two_shot
    assert [level.level for level in decided.levels] == ["shipped", "line", "head"]


def test_a_head_that_was_taught_comes_back_from_the_store_as_it_was_fitted(tmp_path: Path) -> None:
    store = Store(tmp_path, OWNER)
    weights = np.random.default_rng(8).normal(0.0, 0.15, (3, 4)).astype(np.float32)
    foreign = predictor().corrected(Correction(0.8, -0.1, 0.6, weights, 0.4))
    model = with_head(foreign)
    result = calibration_of(store, model).fit().two_shot
    assert result.chosen == "head"
    _, correction, _ = optics_of(store.load(), CONFIG, store)
    corrected = predictor().corrected(correction)
    for stack in model.kept:
        said_um = corrected.read(stack.outputs.reshape(-1, F)).distance_um
        assert np.abs(said_um - stack.true_um).mean() < 0.3
    assert correction.weights is not None
    assert correction.weights.shape == (3, 4)
    data = store.path.with_name(result.file)
    store.keep_all({"optics": msgspec.structs.replace(found_optics(store), file_sha256="1" * 64)})
    with pytest.raises(CalibRefused, match=f"{data.name} is not the file that"):
        optics_of(store.load(), CONFIG, store)


def found_optics(store: Store) -> OpticsModel:
    optics = store.load().optics
    assert optics is not None
    return optics


def shots_of(plain: Plain, heights_um: NDArray[np.float64]) -> list[Shot]:
    """A recorded stack of the field at the origin."""
    bench = plain.instrument
    bench.home_if_allowed()
    with bench.lit(CONFIG.scan.lamp_duty):
        bench.go_to(CONFIG.scan.origin_x_um, CONFIG.scan.origin_y_um)
        taking = Shots(bench.board.z, bench.camera, CONFIG.focus)
        taking.approach(float(heights_um[0]) - 20.0)
        return [taking.take(float(z_um)) for z_um in heights_um]


def test_a_short_stack_is_passed_over_and_does_not_spoil_the_others(
    runner: SaysTooMuch, tmp_path: Path
) -> None:
    running = calibrated(Store(tmp_path, OWNER), runner)
    has_stacks(running._models.two_shot)
    short = shots_of(Plain({}), FOCUS_Z_UM + np.arange(-7.0, 7.1, 2.0))
    running.take_recorded("short.tif", short)
    assert [why.startswith("short.tif: stack of") for why in running.passed_over] == [True]
    assert (
        "pictures with contrast within the range of the model, 8 or more are needed" in running.passed_over[0]
    )
    assert running.fit().two_shot.n_stacks == 2


def test_few_stacks_that_are_refused_ask_for_more(
    runner: SaysTooMuch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = calibrated(Store(tmp_path, OWNER), runner)
    has_stacks(running._models.two_shot)
    monkeypatch.setitem(LIMITS, "optics", Limit(0.0))
    with pytest.raises(
        CalibPoor, match=r"is the limit\. Take more stacks than 2 \(--stacks, --add\)\. Check objective"
    ):
        running.fit()
    monkeypatch.setattr(run, "FEW", 2)
    with pytest.raises(CalibPoor, match=r"is the limit\. Check"):
        running.fit()
