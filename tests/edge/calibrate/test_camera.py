"""The camera, measured where only the test knows what is wrong with it."""

import contextlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Owner, Store
from parfocal.edge.calibrate.camera import CameraCalibration, camera_verdicts
from parfocal.edge.calibrate.keeper import KeptValue, Stamp
from parfocal.edge.camera.frame import Adjustable
from parfocal.edge.camera.linear import LinearCamera, raw_camera, table_of
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.instrument import Instrument, calibrated_camera
from parfocal.edge.measured.calibration import camera_of, flat_field_of
from tests.bench import camera as bench_camera
from tests.bench.camera import CONFIG as BENCH_CONFIG
from tests.bench.camera import LIMITS, Hidden, hidden, instrument_of, truths
from tests.bench.stage import CONFIG as STAGE_CONFIG
from tools.rendering.cameras import Camera

# Half the pixels of the bench: enough to tell processing by its noise.
CONFIG = msgspec.structs.replace(
    BENCH_CONFIG, camera=msgspec.structs.replace(BENCH_CONFIG.camera, width_px=320, height_px=320)
)
SEED = 8  # sharpened, with a gamma, in too little light
STAMP = Stamp(datetime(2026, 11, 26, tzinfo=timezone.utc), "0.1.0")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, Owner(1, "20x/0.75"))


def measure(
    store: Store, truth: Hidden, config: Config = CONFIG
) -> tuple[dict[str, KeptValue], CameraCalibration, Instrument]:
    instrument = instrument_of(truth, SEED, CONFIG)
    running = CameraCalibration(instrument, config, store, STAMP, lambda _words: None)
    with contextlib.closing(instrument.board):
        return {one.name: one for one in running.run()}, running, instrument


def test_a_camera_with_faults_is_seen_through_and_its_exposure_found_and_read_back(store: Store) -> None:
    truth = hidden(SEED)
    found, running, instrument = measure(store, truth)
    for name, value in truths(truth, SEED).items():
        assert abs(found[name].value - value) <= max(
            LIMITS.get(name, 0.5 * value), found[name].uncertainty
        ), name
    camera = instrument.camera
    assert isinstance(camera, Adjustable)
    assert found["camera_exposure_s"].value == camera.settings().exposure_s
    assert found["camera_exposure_s"].before == 0.008
    assert found["camera_exposure_s"].value > 0.008
    verdicts = camera_verdicts(running.seen)
    assert any("it sharpens" in verdict for verdict in verdicts)
    assert any("which is undone from now on" in verdict for verdict in verdicts)
    assert not any("over time" in verdict for verdict in verdicts)
    kept = store.load()
    assert set(kept.values()) == set(found)
    raw = json.loads((store.path.parent / found["camera_gamma"].raw).read_text())
    assert len(raw["flat"]) == 9
    # The light over a frame is used with frames of this size, and only while the raw data are there.
    flat = flat_field_of(kept, CONFIG, store)
    assert flat is not None
    assert [list(row) for row in flat.flat] == raw["flat"]
    larger = msgspec.structs.replace(CONFIG.camera, width_px=CONFIG.camera.width_px + 2)
    assert flat_field_of(kept, msgspec.structs.replace(CONFIG, camera=larger), store) is None
    path = store.path.parent / found["camera_gamma"].raw
    for damaged in (
        json.dumps({**raw, "flat": [[1.0, 0.0], [1.0, 1.0]]}),
        json.dumps({**raw, "flat": []}),
        "{",
    ):
        path.write_text(damaged)
        assert flat_field_of(kept, CONFIG, store) is None
    path.unlink()
    assert flat_field_of(kept, CONFIG, store) is None
    in_use = camera_of(kept, CONFIG)
    assert in_use.exposure_s == found["camera_exposure_s"].value
    assert in_use.gamma == found["camera_gamma"].value
    keeping = config_from_toml("[camera]\nexposure_s = 0.008\n", "t")
    assert camera_of(kept, keeping).exposure_s is None


def test_a_compressed_camera_is_told_what_it_costs(store: Store) -> None:
    plain = hidden(SEED)._replace(camera=Camera(jpeg_quality=85, chroma="4:2:0"), light=1.0, dark_level=0.0)
    _, running, _ = measure(store, plain)
    assert any(
        "compressed (JPEG). Predictions err by 0.14 um instead" in one
        for one in camera_verdicts(running.seen)
    )
    assert camera_of(store.load(), CONFIG).gamma is None


def test_a_camera_that_mixes_frames_is_told_and_waited_for_where_the_light_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_camera, "MIXED", 6)  # what lies before them has a share of 0.4 %
    truth = hidden(SEED)._replace(lag=0.4)
    found, running, _ = measure(store, truth)
    for name, value in truths(truth, SEED).items():
        limit = 0.3 if name == "camera_dark_level" else LIMITS.get(name, 0.5 * value)
        assert abs(found[name].value - value) <= limit, name
    (told,) = (one for one in camera_verdicts(running.seen) if "over time" in one)
    assert re.search(r"keeps (3[5-9]|4[0-5]) % of the frame before\. Switch it off", told)


def test_in_the_dark_nothing_is_kept_and_the_exposure_is_put_back(store: Store) -> None:
    instrument = instrument_of(hidden(SEED)._replace(light=1e-4, dark_level=0.0), SEED, CONFIG)
    running = CameraCalibration(instrument, CONFIG, store, STAMP, lambda _words: None)
    with pytest.raises(CalibPoor, match="no exposure of the camera gives.*of the camera stays in force"):
        list(running.run())
    instrument.board.close()
    assert not store.path.exists()
    assert isinstance(instrument.camera, Adjustable)
    assert instrument.camera.settings().exposure_s == STAGE_CONFIG.camera.exposure_s


def test_a_measured_gamma_is_undone_and_the_camera_itself_is_measured_again(store: Store) -> None:
    assert (table_of(0.5, 0.0)[[0, 128, 255]] == [0, 64, 255]).all()
    assert table_of(0.5, 10.0)[10] == 0
    truth = hidden(SEED)._replace(camera=Camera(gamma=0.5), flicker=0.0)
    found, _, instrument = measure(store, truth)
    camera = calibrated_camera(instrument.camera, camera_of(store.load(), CONFIG))
    assert isinstance(camera, LinearCamera)
    assert raw_camera(camera) is instrument.camera
    shown = np.array([60, 120, 240], np.uint8)
    assert (camera._table[shown] < shown).all()
    again = CameraCalibration(
        Instrument(instrument.board, camera, instrument.clock), CONFIG, store, STAMP, lambda _words: None
    )
    assert again._camera is instrument.camera
    assert found["camera_gamma"].value == pytest.approx(0.5, abs=0.05)
