"""`parfocal calibrate optics` and `focus` as a user types them."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.edge.calibrate.focus_loop import LoopCalibration
from parfocal.edge.calibrate.keeper import Found
from parfocal.edge.calibrate.optics.run import OpticsCalibration
from parfocal.edge.cli import asked as cli_asked
from parfocal.edge.cli import findings as findings_of
from parfocal.edge.cli.calibrating import focus_verb, optics_verb
from parfocal.edge.cli.calibrating.focus_verb import LoopReport
from parfocal.edge.cli.calibrating.optics_verb import OpticsReport
from parfocal.edge.cli.findings import Finding
from parfocal.edge.config import Config
from parfocal.edge.engine import Engines
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.optics_file import KeptStack
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from parfocal.engines.opening import OpenedEngine
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract, single_contract
from tests.edge.calibrate.plain import Plain
from tests.edge.cli.typed import SMALL_CAMERA, Run


def kept() -> KeptStack:
    """A stack on which the model says 5 um for every 4."""
    true_um = np.linspace(9.0, -9.0, 19, dtype=np.float32)
    says_um = np.repeat(1.25 * true_um[:, None, None], 4, axis=1)
    return KeptStack(true_um, np.ones((19, 4), np.float32), says_um)


def kept_by_single(noise_um: float) -> KeptStack:
    """A stack as the single-shot model sees it: one patch, and an error of its own in each picture."""
    true_um = np.linspace(9.0, -9.0, 19, dtype=np.float32)
    said_um = true_um + np.random.default_rng(4).normal(0.0, noise_um, 19).astype(np.float32)
    return KeptStack(true_um, np.ones((19, 1), np.float32), said_um[:, None, None])


class Nothing:
    """A runner that is not asked: the stacks are there with what it said."""

    contract = difference_contract(name="difference-20x")

    def infer(self, _batch: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError("no stack was taken")


class Single(Nothing):
    """The same for a single-shot model."""

    contract = single_contract(name="single-20x")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A microscope that is quick to draw, whose stacks are there at once."""

    @contextlib.contextmanager
    def opened(*_arguments: Any, **_named: Any) -> Iterator[Instrument]:  # noqa: ANN401
        plain = Plain({})
        yield plain.instrument
        plain.board.close()

    def taken(self: OpticsCalibration, _places: object, n_stacks: int, _step: object) -> None:
        model = self._models.two_shot
        model.kept += [kept()] * n_stacks
        model.n_earlier += n_stacks
        self._passed_over.append(("field at x=1 y=2 um", CalibPoor("it is flat")))

    engine = Engines(Predictor(Nothing()), "an engine")
    for verb in (optics_verb, focus_verb):
        monkeypatch.setattr(verb, "checked_engine", lambda _config: engine)
    monkeypatch.setattr(cli_asked, "opened_instrument", opened)
    monkeypatch.setattr(OpticsCalibration, "take", taken)
    (tmp_path / "parfocal.toml").write_text(SMALL_CAMERA)


def store() -> Store:
    return Store(default_folder(), Owner(1, "20x/0.75"))


def test_the_levels_are_shown_beside_each_other_and_the_one_that_was_taken_is_kept(
    run: Run, tmp_path: Path
) -> None:
    code, printed, told = run("calibrate", "optics", "--stacks", "3", "--json", "found.json")
    assert (code, told) == (0, "")
    assert "optics: the model as it is: error 1.18 +- 0.00 um, wrong direction 0 %" in printed
    assert "optics: gain and offset: error 0.00 +- 0.00 um" in printed
    assert "optics: difference-20x has no head outside of its graph, so it is not taught" in printed
    assert "optics: the condenser is not fitted: difference-20x does not take the condenser" in printed
    assert "optics: gain and offset from now on (gain 0.80, offset" in printed
    assert "optics: 1 field passed over:\n  field at x=" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=OpticsReport)
    assert report.result is not None
    assert (report.result.chosen, report.result.n_stacks) == ("line", 3)
    assert report.calibration == store().load().used
    assert run("calibrate", "optics", "--add", "--json", "found.json")[0] == 0
    again = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=OpticsReport)
    assert again.result is not None
    assert again.result.n_stacks == 3 + 12


@pytest.mark.parametrize(
    ("noise_um", "taken"),
    [(0.1, "the model as it is from now on"), (1.0, "not used from now on: the model errs by")],
)
def test_the_single_shot_model_is_fitted_to_the_same_stacks_and_doctor_names_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise_um: float, taken: str
) -> None:
    # Frames of 452 px have no room for its patches: it is left out, and the run says why.
    _, printed, _ = run("calibrate", "optics", "--json", "found.json")
    assert "single shots: not calibrated: the configured frames of 452 x 452 px are too small" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=OpticsReport)
    assert (report.single, "too small" in report.without_single) == (None, True)
    opened = OpenedEngine(Predictor(Single()), "another engine")
    monkeypatch.setattr(optics_verb, "checked_single_engine", lambda _config: opened)
    taking = OpticsCalibration.take

    def taken_by_both(self: OpticsCalibration, places: Any, n_stacks: int, step: Any) -> None:  # noqa: ANN401
        taking(self, places, n_stacks, step)
        single = self._models.single
        assert single is not None
        single.kept += [kept_by_single(noise_um)] * n_stacks
        single.n_earlier += n_stacks

    monkeypatch.setattr(OpticsCalibration, "take", taken_by_both)
    _, printed, _ = run("calibrate", "optics", "--json", "found.json")
    assert f"single shots: {taken}" in printed
    report = msgspec.json.decode((tmp_path / "found.json").read_bytes(), type=OpticsReport)
    assert report.single is not None
    assert (report.single.refused is None, report.without_single) == (noise_um < 0.3, "")
    every = findings_of.of_calibration(store().load(), Config(), datetime.now(timezone.utc))
    (finding,) = (one for one in every if one.subject == "single shots")
    assert ("not used on this microscope" in finding.told) == (noise_um > 0.3)
    run("calibrate", "optics", "--export", "o.zip")
    assert (
        f"single shots: {'not used' if noise_um > 0.3 else 'the model as it is'} from now on, from o.zip"
        in run("calibrate", "optics", "--import", "o.zip")[1]
    )


def test_optics_are_exported_and_taken_back(run: Run, tmp_path: Path) -> None:
    assert run("calibrate", "optics", "--export", "o.zip")[0] == 5  # nothing was measured yet
    run("calibrate", "optics")
    before = store().load()
    assert "optics: written to o.zip" in run("calibrate", "optics", "--export", "o.zip")[1]
    store().path.unlink()
    code, printed, _ = run("calibrate", "optics", "--import", "o.zip")
    assert (code, "gain and offset from now on, from o.zip" in printed) == (0, True)
    assert store().load() == before
    (tmp_path / "o.zip").write_bytes(b"no zip")
    code, _, told = run("calibrate", "optics", "--import", "o.zip")
    assert (code, "it is no exported calibration" in told) == (5, True)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--export", "a", "--import", "b"), "give only one of"),
        (("--from", "nowhere"), "there is no such file or folder"),
        (("--import", "nowhere"), "cannot be read"),
        (("--stacks", "1"), "--stacks"),
    ],
)
def test_wrong_use_is_a_usage_error(run: Run, options: tuple[str, ...], why: str) -> None:
    code, _, told = run("calibrate", "optics", *options)
    assert code == 2
    assert why in told


def test_recorded_stacks_of_other_pixels_are_refused_and_those_without_a_focus_passed_over(
    run: Run, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    plane = rng.integers(120, 140, (452, 452, 3)).astype(np.uint8)
    heights_um = tuple(0.625 * k for k in range(8))
    write_stack(Stack(tmp_path / "a.ome.tiff", heights_um, (plane,) * 8, 0.345))
    code, _, told = run("calibrate", "optics", "--from", "a.ome.tiff")
    assert (code, "0 of the fields gave a stack with a clear focus" in told) == (5, True)
    raw = next(default_folder().glob("*optics*.json")).read_text()
    assert "a.ome.tiff: upward focus curve" in raw
    write_stack(Stack(tmp_path / "b.ome.tiff", heights_um, (plane,) * 8, 0.2))
    code, _, told = run("calibrate", "optics", "--from", "b.ome.tiff")
    assert (code, "it has 0.2 um per px, and camera.um_per_px is 0.345" in told) == (2, True)


def test_the_loop_is_shown_kept_and_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (
        Found("focus_repeatability_um", 0.1, 0.02),
        Found("focus_above_sharpest_um", 0.24, 0.04),
        Found("focus_z0_below_um", 28.5, 0.0),
        Found("focus_z1_below_um", 4.5, 0.0),
    )
    monkeypatch.setattr(LoopCalibration, "_measured", lambda _self, _step: found)
    (tmp_path / "parfocal.toml").write_text(f"{SMALL_CAMERA}[focus]\nz1_below_um = 6.0\n")
    code, printed, _ = run("calibrate", "focus", "--json", "loop.json")
    assert code == 0
    assert "repeats within 0.10 +- 0.02 um (standard deviation); ends +0.24 +- 0.04 um above" in printed
    assert "focus.z0_below_um and focus.z1_below_um of the configuration stay in use" in printed
    report = msgspec.json.decode((tmp_path / "loop.json").read_bytes(), type=LoopReport)
    assert [one.before for one in report.values] == [None, None, 22.0, 6.0]
    # Another correction of the model ends elsewhere: what was measured of the loop no longer holds.
    run("calibrate", "optics")
    after = store().load()
    assert (after.focus_above_sharpest_um, after.focus_z1_below_um is None) == (None, False)


def test_doctor_names_the_error_and_says_if_the_optics_are_not_used(run: Run) -> None:
    def finding(model_sha256: str | None = None) -> Finding:
        found = store().load()
        assert found.optics is not None
        optics = msgspec.structs.replace(found.optics, model_sha256=model_sha256 or found.optics.model_sha256)
        changed = msgspec.structs.replace(found, optics=optics)
        every = findings_of.of_calibration(changed, Config(), datetime.now(timezone.utc))
        return next(one for one in every if one.subject == "optics")

    run("calibrate", "optics")
    assert (finding().verdict, finding().exit_code) == ("ok", 0)
    assert "held-out stacks chose gain and offset; error 0.00 +- 0.00 um; 0 days old" in finding().told
    other = finding("0" * 64)
    assert (other.verdict, other.exit_code) == ("wrong", 5)
    assert "measured, but not used: they belong to model difference-20x" in other.told
