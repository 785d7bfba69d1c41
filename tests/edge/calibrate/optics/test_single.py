"""The single-shot model beside the two-shot model: calibrated with the same stacks, or refused on this microscope."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibRefused
from parfocal.calib.store import Store
from parfocal.edge.calibrate.optics.model_view import SinglePlanes
from parfocal.edge.calibrate.optics.one_model import ModelName, OneModel
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.calibrate.optics.transfer import NAMES, exported, import_optics
from parfocal.edge.calibrate.page.use import use_of
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.shots import Shot
from parfocal.edge.measured.optics_file import KeptStack
from parfocal.edge.measured.optics_in_use import SingleInUse, model_digest, single_of
from parfocal.edge.scan.session import Session
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP, two_shot
from tests.edge.calibrate.plain import CONFIG, Plain
from tests.edge.scope import with_focus

NAME = CONFIG.focus.single_model


class Two:
    """A runner that always says 2 um."""

    contract = difference_contract()

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(batch), 1), 2.0, np.float32)


class One(Two):
    """The same, of a single shot."""

    contract = single_contract(name=NAME, patch_px=224)


def single() -> OneModel:
    return OneModel("single", Predictor(One()), ModelName(NAME, model_digest(NAME) or ""))


def stack(gain: float, noise_um: float, n_patches: int, seed: int) -> KeptStack:
    """A stack on which a model says `gain` um for each um."""
    true_um = np.linspace(9.0, -9.0, 20)
    noise = np.random.default_rng(seed).normal(0.0, noise_um, (20, 1, 1))
    said_um = gain * true_um[:, None, None] + noise + np.zeros((20, n_patches, 1))
    ones = np.ones((20, n_patches))
    return KeptStack(*(np.asarray(a, np.float32) for a in (true_um, ones, said_um)))


def calibrated(store: Store, noise_um: float) -> None:
    """Calibrate both models, with stacks on which the single-shot model errs by `noise_um`."""
    models = Models(two_shot(Predictor(Two())), single())
    for model, n_patches, off_um in ((models.two_shot, 4, 0.0), (models.single, 1, noise_um)):
        assert model is not None
        model.kept = [stack(1.25, off_um, n_patches, seed) for seed in range(3)]
        model.n_earlier = 3
    OpticsCalibration(Plain({}).instrument, CONFIG, store, STAMP, models).fit()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "one", OWNER)


def test_a_single_shot_model_is_corrected_by_its_own_values(store: Store) -> None:
    calibrated(store, noise_um=0.1)
    found = store.load()
    assert (found.single is not None, found.optics is not None) == (True, True)
    in_use, (note,) = single_of(found, CONFIG, store)
    assert in_use.optics is not None
    assert (in_use.refused, in_use.optics.level) == (None, "line")
    assert in_use.correction.gain == pytest.approx(0.8, abs=0.02)
    assert "single shots: distances times 0.80" in note
    corrected = in_use.calibrated(Predictor(One()))
    assert corrected is not None
    batch = np.zeros((1, 3, 224, 224), np.float32)
    assert corrected.predict(batch).distance_um[0] == pytest.approx(1.6, abs=0.1)
    # Another single-shot model is not corrected with them, and the remark says so.
    other = with_focus(CONFIG, single_model="difference-20x")
    in_use, (note,) = single_of(found, other, store)
    assert (in_use.optics, "focus.single_model = 'difference-20x' is another one" in note) == (None, True)
    assert single_of(found, with_focus(CONFIG, single_model=""), store) == (SingleInUse(), ())


def test_a_single_shot_model_that_errs_too_much_is_refused_and_two_shots_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated(store, noise_um=1.0)
    found = store.load()
    assert found.single is not None
    assert "0.3 um is the limit" in (found.single.refused or "")
    assert found.single_gain is None
    in_use, (note,) = single_of(found, CONFIG, store)
    assert "single shots are not used on this microscope: the model errs by" in note
    assert found.single_error_um is not None
    assert "the model is not used" in use_of("single_error_um", found.single_error_um, found, CONFIG)
    predictor = Predictor(One())
    assert in_use.calibrated(predictor) is None
    with pytest.raises(
        CalibRefused, match=r"--follow refused: it needs the single-shot model .*the model errs by"
    ):
        in_use.needed(predictor, "--follow")
    # A run goes on without it: the loop gets none.
    given: list[Predictor | None] = []
    begin = Focuser.__init__

    def noted(self: Focuser, *arguments: object) -> None:
        given.append(arguments[4])  # type: ignore[arg-type]
        begin(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Focuser, "__init__", noted)
    for used in (SingleInUse(), in_use):
        instrument = msgspec.structs.replace(Plain({}).instrument, single=used)
        Session(instrument, Predictor(Two()), CONFIG, predictor)
    assert given == [predictor, None]


def test_each_shot_of_a_stack_is_seen_and_those_near_the_focus_are_kept() -> None:
    plain = Plain({})
    planes = SinglePlanes(Predictor(One()), CONFIG.focus)
    textured = plain._render(CONFIG.scan.origin_x_um, CONFIG.scan.origin_y_um, 2500.0, CONFIG.scan.lamp_duty)
    for z_um in (2485.0, 2493.0, 2501.0):
        planes.see(Shot(z_um, textured, CONFIG.focus))
    planes.see(Shot(2502.0, np.full_like(textured, 200), CONFIG.focus))  # blank
    kept = planes.kept(2500.0)
    assert kept is not None
    assert kept.true_um.tolist() == [7.0, -1.0]
    assert kept.contrast.shape == kept.outputs.shape[:2]
    assert planes.kept(3000.0) is None


def test_both_models_are_exported_and_the_refusal_as_well(store: Store, tmp_path: Path) -> None:
    calibrated(store, noise_um=1.0)
    moved = Store(tmp_path / "moved", OWNER)
    header = import_optics(moved, exported(store), "f", two_shot(Predictor(Two())).model)
    assert list(header.models) == ["optics", "single"]
    assert moved.load() == store.load()
    # An export without the single-shot model leaves none in force: it was measured together with the other.
    store.keep_all(dict.fromkeys(("single", *NAMES["single"])))
    import_optics(moved, exported(store), "f", two_shot(Predictor(Two())).model)
    assert (moved.load().single, moved.load().single_error_um) == (None, None)
    assert moved.load().optics is not None


def test_a_damaged_single_shot_model_is_removed_where_it_is_not_measured_again(store: Store) -> None:
    calibrated(store, noise_um=0.1)
    single_of_now = store.load().single
    assert single_of_now is not None
    store.path.with_name(single_of_now.file).unlink()
    store.keep_all({"single": msgspec.structs.replace(single_of_now, level="head")})  # whose file runs need
    with pytest.raises(CalibRefused, match="Run `parfocal calibrate optics`"):
        single_of(store.load(), CONFIG, store)
    models = Models(two_shot(Predictor(Two())), None, "its patches do not fit.")
    models.two_shot.kept = [stack(1.25, 0.0, 4, seed) for seed in range(3)]
    models.two_shot.n_earlier = 3
    found = OpticsCalibration(Plain({}).instrument, CONFIG, store, STAMP, models).fit()
    told = "its patches do not fit; what was measured of it before is damaged, and was removed"
    assert found.without_single == told
    assert single_of(store.load(), CONFIG, store) == (SingleInUse(), ())


def test_a_model_without_stacks_of_its_own_is_not_calibrated_and_the_reason_is_told(store: Store) -> None:
    models = Models(two_shot(Predictor(Two())), single())
    models.two_shot.kept = [stack(1.25, 0.0, 4, seed) for seed in range(3)]
    models.two_shot.n_earlier = 3
    found = OpticsCalibration(Plain({}).instrument, CONFIG, store, STAMP, models).fit()
    assert (found.single, "0 of the fields gave a stack" in found.without_single) == (None, True)
    assert (store.load().single, store.load().optics is None) == (None, False)
