"""`parfocal calibrate focus` on a microscope whose model ends too high, and what a run makes of it."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate import focus_loop
from parfocal.edge.calibrate.focus_loop import LoopCalibration
from parfocal.edge.cli.calibrating.focus_verb import loop_words, measuring
from parfocal.edge.config import config_from_toml
from parfocal.edge.measured.calibration import SpacingInUse, spacing_of, use_calibration
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract
from tests.edge.calibrate.optics.test_optics import OWNER, STAMP
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, Plain, told_pairs
from tests.edge.scope import with_focus

HIGH_UM = 0.5


class EndsHigh:
    """A runner that knows the height of the second shot, and says that the focus is higher than it is."""

    contract = difference_contract(name="ends-high")

    def __init__(self, plain: Plain) -> None:
        self._plain = plain
        self.z2_um: float | None = None
        self.says_um = 0.0

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        z_um = self._plain.truth().stage_z_um if self.z2_um is None else self.z2_um
        return np.full((len(batch), 1), FOCUS_Z_UM - z_um + HIGH_UM + self.says_um, np.float32)


@pytest.fixture
def plain() -> Plain:
    return Plain({})


@pytest.fixture
def runner(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> EndsHigh:
    made = EndsHigh(plain)
    told_pairs(made, monkeypatch)
    monkeypatch.setattr(focus_loop, "ORDER", (0, 12, 4))
    return made


def test_the_loop_repeats_and_what_it_ends_too_high_may_be_removed(
    plain: Plain, runner: EndsHigh, tmp_path: Path
) -> None:
    store = Store(tmp_path, OWNER)
    running = LoopCalibration(plain.instrument, CONFIG, store, STAMP, Predictor(runner))
    values = running.run(lambda _words: None)
    found = {one.name: one.value for one in values}
    assert found["focus_above_sharpest_um"] == pytest.approx(HIGH_UM, abs=0.2)  # in steps of 0.3125 um
    assert found["focus_repeatability_um"] < 0.3
    z0_um, z1_um = found["focus_z0_below_um"], found["focus_z1_below_um"]
    assert (values[2].before, values[3].before) == (22.0, 5.0)
    assert z0_um - z1_um > plain.board.z.overshoot_um
    assert "repeats within 0." in loop_words(values)
    assert len(running.seen.approaches) == 3
    assert running.images == sum(len(one.z_um) for one in running.seen.curves) + sum(
        one.images for one in running.seen.approaches
    ) + (10 + 13)
    # A run takes its shots there, unless the configuration says where.
    assert spacing_of(store.load(), CONFIG) == SpacingInUse(z0_um, z1_um)
    assert SpacingInUse(z0_um, z1_um).of(CONFIG.focus).z1_below_um == z1_um
    assert spacing_of(store.load(), config_from_toml("[focus]\nz1_below_um = 6.0\n", "t")) is None


def test_a_refused_loop_leaves_what_was_seen(
    plain: Plain, runner: EndsHigh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scatters(_self: LoopCalibration, _step: object) -> None:
        raise CalibPoor("loop refused.")

    monkeypatch.setattr(LoopCalibration, "_measured", scatters)
    running = LoopCalibration(plain.instrument, CONFIG, Store(tmp_path, OWNER), STAMP, Predictor(runner))
    with pytest.raises(
        CalibPoor, match=r"loop refused\. An earlier calibration of the loop stays in force; what was"
    ):
        running.run(lambda _words: None)
    (seen,) = tmp_path.glob("*.json")
    assert '"refused": "loop refused."' in seen.read_text()


def test_the_user_decides_whether_the_loop_ends_at_the_sharpest_plane(
    plain: Plain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("parfocal.edge.measured.calibration.default_folder", lambda: tmp_path)
    store = Store(tmp_path, OWNER)
    at_sharpest = with_focus(CONFIG, at_sharpest=True)
    board = plain.board
    assert any("none of this microscope" in note for note in use_calibration(board, at_sharpest).notes)
    measured = Measured(0.24, 0.1, STAMP.measured_at, "m", "1", "r.json")
    store.keep("z_play_um", msgspec.structs.replace(measured, value=20.0))
    assert any("Run `parfocal calibrate focus`" in note for note in use_calibration(board, at_sharpest).notes)
    store.keep("focus_above_sharpest_um", measured)
    assert use_calibration(board, CONFIG).correction.offset_um == 0.0
    in_use = use_calibration(board, at_sharpest)
    assert in_use.correction.offset_um == -0.24
    assert "the loop ends +0.24 um lower, at the sharpest plane" in in_use.notes[-1]
    assert measuring(at_sharpest).focus.at_sharpest is None
