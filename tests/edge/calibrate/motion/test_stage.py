"""The stage, measured on mechanics and a camera that only the test knows."""

import contextlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.camera.view import View
from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import KeptValue, Stamp
from parfocal.edge.calibrate.motion import chains, returns, settling
from parfocal.edge.calibrate.motion.stage import StageCalibration
from parfocal.edge.calibrate.pixel import measure_pixel
from parfocal.edge.cli.calibrating.verbs import stage_line
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import view_of
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.bench.play import drawn
from tests.bench.stage import (
    CONFIG,
    Hidden,
    hidden,
    instrument_of,
    rendered,
)

STAMP = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "0.1.0")
SEED = 3
TRUTH = hidden(SEED)
SECTION = drawn(SEED)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything: a test takes seconds. What a whole run finds: tests/edge/cli/calibrating."""
    monkeypatch.setattr(chains, "N_CHAINS", 3)
    monkeypatch.setattr(returns, "N_TRIPS", 3)
    monkeypatch.setattr(returns, "N_HOMES", 2)
    monkeypatch.setattr(settling, "N_MOVES", 10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, Owner(1, "20x/0.75"))


def measure(
    store: Store,
    truth: Hidden = TRUTH,
    section: UInt8Array = SECTION,
    step: Callable[[Instrument, str], None] = lambda _instrument, _words: None,
) -> dict[str, KeptValue]:
    instrument = instrument_of(truth, rendered(section, truth, SEED))
    running = StageCalibration(instrument, CONFIG, store, STAMP, lambda words: step(instrument, words))
    with contextlib.closing(instrument.board):
        return {one.name: one for one in running.run()}


def test_a_grid_and_an_empty_field_give_no_scale_and_the_earlier_one_stays(store: Store) -> None:
    side_px = SECTION.shape[0]
    lines = np.arange(side_px) % 40 < 12
    grid = np.full_like(SECTION, 230)
    grid[lines] = grid[:, lines] = 60
    with pytest.raises(
        CalibPoor, match="repeats itself.*of scale and angle stays in force; what was seen is in"
    ):
        measure(store, section=grid)
    with pytest.raises(CalibPoor, match="it is flat"):
        measure(store, section=np.full_like(SECTION, 228))
    assert not store.path.exists()


def test_a_motor_that_loses_steps_is_refused_before_its_scale_is_measured(store: Store) -> None:
    def lose(instrument: Instrument, words: str) -> None:
        if words.startswith("up"):  # in the focus now; the trips come next
            assert isinstance(instrument.camera, SimulatedCamera)
            bench = instrument.camera._stage
            assert isinstance(bench, VirtualBench)
            # The run-up before the first picture takes 256 of them; the first trip loses the others.
            bench.stub.machine.axes[0].lose_steps(300)

    with pytest.raises(CalibPoor, match=r"after 3 trips of 2 mm along x .*board\.x\.speed_um_per_s"):
        measure(store, step=lose)
    assert not store.path.exists()


def test_the_size_of_a_pixel_is_measured_on_lines_and_the_scale_of_the_stage_rests_on_it(
    store: Store,
) -> None:
    side_px, period_px = 2000, 10.0 / 0.345
    section = np.full((side_px, side_px, 3), 220, np.uint8)
    section[:, np.arange(side_px) % period_px < period_px / 3.0] = 60
    # The camera has 0.345 um per px; the configuration says 2 % more.
    camera = msgspec.structs.replace(CONFIG.camera, um_per_px=0.352)
    wrong = msgspec.structs.replace(CONFIG, camera=camera)
    instrument = instrument_of(TRUTH, rendered(section, TRUTH, SEED))
    with contextlib.closing(instrument.board):
        found = measure_pixel(instrument, wrong, store, STAMP, lambda _words: None, 10.0)
    assert abs(found.value - 0.345) <= found.uncertainty <= 0.002
    view = view_of(store.load(), wrong)
    assert (view.um_per_px, view.um_per_px_uncertainty) == (found.value, found.uncertainty)
    measured = msgspec.structs.replace(instrument, view=view)
    expected = chains.Chains(measured.board.x, measured, wrong.camera, lambda _words: None).expected()
    assert (expected.um_per_px, expected.um_per_px_uncertainty) == (found.value, found.uncertainty)
    assert "Set camera.um_per_px = 0.34" in stage_line(found, wrong)


def test_tissue_gives_no_size_of_a_pixel(store: Store) -> None:
    instrument = instrument_of(TRUTH, rendered(SECTION, TRUTH, SEED))
    with (
        pytest.raises(CalibPoor, match="no lines about .*of the pixel stays in force"),
        contextlib.closing(instrument.board),
    ):
        measure_pixel(instrument, CONFIG, store, STAMP, lambda _words: None, 10.0)


def test_pixels_become_moves_through_what_was_measured() -> None:
    assert View(0.5).um_from_px(10.0, -4.0) == (5.0, -2.0)
    assert View(0.5, 90.0).um_from_px(10.0, -4.0) == pytest.approx((-2.0, -5.0))
    assert View(0.5, 0.0, True).um_from_px(10.0, -4.0) == (5.0, 2.0)
