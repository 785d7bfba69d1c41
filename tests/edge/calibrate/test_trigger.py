"""The delay of a triggered camera, measured with the stub's lamp."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.calibrate.page.report import figures_in
from parfocal.edge.calibrate.trigger import TriggerCalibration, n_steps
from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.trigger_in_use import safe_delay_s, trigger_of
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.triggered_camera import TriggeredCamera

CONFIG: Config = msgspec.convert(
    {"camera": {"exposure_s": 0.004, "frame_period_s": 0.01, "width_px": 16, "height_px": 16}}, Config
)

STAMP = Stamp(datetime(2026, 11, 27, tzinfo=timezone.utc), "1.0")


@contextlib.contextmanager
def instrument(
    delay_s: float, gain: float = 800.0, camera: CameraConfig = CONFIG.camera
) -> Iterator[Instrument]:
    """A microscope whose camera sees nothing but light; `gain`: grey levels of a lamp at full duty."""

    def render(_x_um: float, _y_um: float, _z_um: float, duty: float) -> UInt8Array:
        return np.full((16, 16, 3), min(gain * duty, 255.0), np.uint8)

    bench = VirtualBench()
    with bench.open_board() as board:
        clock = bench.clock
        free = SimulatedCamera(bench, clock, camera, render)
        yield Instrument(
            board,
            free,
            clock,
            triggered=TriggeredCamera(free, bench, clock, camera, render, delay_s=delay_s),
        )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, Owner(7, "20x/0.75"))


def calibration(microscope: Instrument, store: Store, steps: list[str] | None = None) -> TriggerCalibration:
    step = (steps if steps is not None else []).append
    return TriggerCalibration(microscope, CONFIG, store, STAMP, step)


@pytest.mark.parametrize(("delay_s", "gain"), [(0.00005, 800.0), (0.0021, 800.0), (0.0004, 300_000.0)])
def test_the_delay_is_found_though_a_bright_lamp_would_saturate(
    store: Store, delay_s: float, gain: float
) -> None:
    steps = list[str]()
    with instrument(delay_s, gain) as microscope:
        at_um = microscope.board.z.position_um
        window, _ = calibration(microscope, store, steps).run()
        assert microscope.board.z.position_um == at_um
    assert window.delay_s == pytest.approx(delay_s, abs=window.uncertainty_s)
    flash_s = safe_delay_s(window.delay_s, window.uncertainty_s)
    assert delay_s <= flash_s < delay_s + 2.0 * window.uncertainty_s + 1e-5
    assert window.room_s == pytest.approx(0.004, abs=1e-4)
    assert len(steps) == n_steps(CONFIG)


def test_the_window_is_kept_with_its_uncertainty_its_date_and_the_camera_and_used_from_then_on(
    store: Store,
) -> None:
    with instrument(0.0021) as microscope:
        window, values = calibration(microscope, store).run()
    kept = store.load()
    assert kept.trigger_delay_s is not None
    assert (kept.trigger_delay_s.value, kept.trigger_delay_s.uncertainty) == (
        window.delay_s,
        window.uncertainty_s,
    )
    assert kept.trigger_delay_s.measured_at == STAMP.measured_at
    assert [one.name for one in values] == ["trigger_delay_s", "trigger_room_s", "trigger_read_out_s"]
    assert all(figures_in(kept, store.path.parent))
    in_use = trigger_of(kept, CONFIG, CONFIG.camera.exposure_s)
    assert in_use.delay_s == safe_delay_s(window.delay_s, window.uncertainty_s)
    assert in_use.room_s == pytest.approx(0.004, abs=4e-4)


def test_a_lamp_too_faint_is_refused_and_the_earlier_delay_stays(store: Store) -> None:
    with instrument(0.0) as microscope:
        calibration(microscope, store).run()
    before = store.load()
    with (
        instrument(0.0, gain=20.0) as dark,
        pytest.raises(
            CalibPoor, match=r"An earlier calibration of the trigger stays in force; what was seen"
        ),
    ):
        calibration(dark, store).run()
    assert store.load() == before


def test_a_camera_that_exposes_for_longer_than_it_says_is_refused(store: Store) -> None:
    longer = msgspec.structs.replace(CONFIG.camera, exposure_s=0.0045)
    with (
        instrument(0.0, camera=longer) as microscope,
        pytest.raises(CalibPoor, match=r"seen for 4\.50 ms, but the camera exposes for 4\.00 ms"),
    ):
        calibration(microscope, store).run()


def test_a_camera_that_runs_free_is_refused_with_the_key_to_set(store: Store) -> None:
    with instrument(0.0) as microscope, pytest.raises(ConfigError, match=r"set camera\.trigger_line"):
        calibration(msgspec.structs.replace(microscope, triggered=None), store)
    with pytest.raises(CalibMissing):
        store.load()
