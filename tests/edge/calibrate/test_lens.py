"""The lens, measured on a membrane that only the test knows, and focused with afterwards."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.board.config import LensConfig
from parfocal.board.stub.optics.driver4_stub import Driver4Stub
from parfocal.board.stub.optics.tunable_lens import TunableLensConfig
from parfocal.board.tunable.driver4 import LensDriver4
from parfocal.calib.errors import CalibMissing, CalibPoor, CalibRefused
from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Calibration, Owner, Store
from parfocal.edge import lens_focus
from parfocal.edge.calibrate import lens as lens_part
from parfocal.edge.calibrate.lens import currents_of
from parfocal.edge.calibrate.lens_settling import RULER_UM, swing_of
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.lens_focus import check_lens, through_lens
from parfocal.edge.pixels import UInt8Array
from tests.bench.lens import error_um, instrument_with, measured, true_play_um
from tests.edge.calibrate.plain import CONFIG, FOCUS_Z_UM, NOISE, SECTION, WIDE_PX
from tests.edge.scope import SIDE_PX, with_focus

TRUE = TunableLensConfig(um_per_ma=-0.31, bend=0.1, hysteresis_ma=5.0, warmth_um=0.1)
# Few currents: a test takes a second. A whole run: python -m tests.bench.lens.
COARSE = msgspec.structs.replace(CONFIG, lens=LensConfig(kind="optotune", step_ma=40.0))
BEGIN = (WIDE_PX - SIDE_PX) // 2
SHARP = np.ascontiguousarray(SECTION[BEGIN : BEGIN + SIDE_PX, BEGIN : BEGIN + SIDE_PX])


def render(_x_um: float, _y_um: float, z_um: float, duty: float) -> UInt8Array:
    """A field that does not move; how far it is out of focus is a blur."""
    blurred = cv2.GaussianBlur(SHARP, (0, 0), min(0.4 + 0.5 * abs(z_um - FOCUS_Z_UM), 6.0))
    lit = cv2.convertScaleAbs(blurred, alpha=duty / CONFIG.scan.lamp_duty)
    grey = cv2.add(lit, NOISE[int(abs(z_um) * 100.0) % len(NOISE)])
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


@contextlib.contextmanager
def opened(true: TunableLensConfig = TRUE, config: Config = COARSE) -> Iterator[Instrument]:
    with instrument_with(true, render, config, seed=1) as instrument:
        yield instrument


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Curves of half as many shots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lens_part, "STEP_UM", 1.25)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store in which the lens was measured."""
    made = tmp_path_factory.mktemp("store")
    with opened() as instrument:
        measured(instrument, COARSE, Store(made, Owner(1, "20x/0.75")))
        assert instrument.board.status().z.position_um == pytest.approx(FOCUS_Z_UM, abs=1.0)
    return made


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(
        lens_focus, "store_for", lambda serial, config: Store(folder, Owner(serial, config.focus.objective))
    )
    return Store(folder, Owner(1, "20x/0.75"))


def table_of(calibration: Calibration) -> LensTable:
    assert calibration.lens is not None
    return calibration.lens


def test_the_curve_is_within_a_third_of_a_um_of_the_truth_and_read_back_from_the_store(store: Store) -> None:
    found = store.load()
    table, error, play = table_of(found), found.lens_error_um, found.lens_play_um
    assert error is not None
    assert play is not None
    assert error_um(table, TRUE) <= 0.3
    assert table.lens == "optotune STUB0001"
    assert play.value == pytest.approx(true_play_um(TRUE, -120.0, 120.0), abs=0.3)
    assert play.raw == error.raw
    settle = found.lens_settle_s
    assert settle is not None
    true_s = TRUE.settle_tau_s * math.log(10.0 / 0.1)  # of a swing of 10 um, to 0.1 um
    assert settle.value == pytest.approx(true_s, rel=0.2)
    raw = (store.path.parent / error.raw).read_text()
    assert '"temperatures_c": [' in raw
    assert raw.count("is_rising") == 4 * len(currents_of(COARSE))


def test_a_swing_is_about_its_end_and_leaves_out_what_lies_beyond_the_ruler() -> None:
    far_um, near_um = 50.0 + RULER_UM + 0.1, 50.0 - RULER_UM + 0.1
    swing = swing_of([(0.01, far_um), (0.02, near_um), (0.03, 50.2), (0.3, 50.0)])
    assert swing.since_s == (0.02, 0.03)
    assert swing.away_um == pytest.approx((near_um - 50.0, 0.2))


@pytest.mark.parametrize("given_s", [None, 0.2])
def test_the_measured_settle_time_is_waited_for_unless_one_is_configured(
    store: Store, given_s: float | None
) -> None:
    settle = store.load().lens_settle_s
    assert settle is not None
    config = msgspec.structs.replace(COARSE, lens=LensConfig(kind="optotune", step_ma=40.0, settle_s=given_s))
    with opened(config=config) as instrument:
        seen, _ = through_lens(instrument, config, FOCUS_Z_UM)
        expected_s = settle.interval[1] if given_s is None else given_s
        assert f"at rest after {expected_s:.3f} s" in seen.notes[-1]


@pytest.mark.usefixtures("store")
def test_heights_of_the_lens_are_true_within_a_third_of_a_um() -> None:
    with opened() as instrument:
        instrument.home_if_allowed()
        wide = with_focus(COARSE, first_sweep_start_um=2400.0, first_sweep_stop_um=2600.0)
        seen, config = through_lens(instrument, wide, FOCUS_Z_UM)
        z = seen.board.z
        assert (config.focus.z0_below_um, seen.spacing) == (config.focus.z1_below_um + z.overshoot_um, None)
        assert (
            z.limits_um[0]
            <= config.focus.first_sweep_start_um
            < config.focus.first_sweep_stop_um
            <= z.limits_um[1]
        )
        assert seen.plays[-1].axis == "z"
        assert "lens: focuses in place of the Z motor" in seen.notes[-1]
        truth_um = []
        stage = seen.camera._stage  # type: ignore[attr-defined]
        for target_um in (FOCUS_Z_UM + 20.0, FOCUS_Z_UM - 15.0, FOCUS_Z_UM + 5.0):
            z.approach_up(target_um)
            truth_um.append(stage.true_um(seen.clock.now_s())[2] - target_um)
        assert np.ptp(truth_um) <= 0.3


def test_a_lens_that_was_not_measured_or_is_another_one_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as instrument:
        check_lens(instrument, COARSE)
        with pytest.raises(ConfigError, match="no lens is open"):
            check_lens(msgspec.structs.replace(instrument, lens=None), COARSE)
        with pytest.raises(ConfigError, match=r"reach of the lens.*lens\.park_um"):
            through_lens(instrument, COARSE, FOCUS_Z_UM + 400.0)
    other = msgspec.structs.replace(COARSE, lens=LensConfig(kind="board"))
    with (
        opened(config=other) as instrument,
        pytest.raises(CalibRefused, match="'optotune STUB0001', but this one is 'board'"),
    ):
        check_lens(instrument, other)
    monkeypatch.setattr(
        lens_focus, "store_for", lambda serial, _config: Store(store.path.parent / "none", Owner(serial, ""))
    )
    with opened() as instrument, pytest.raises(CalibMissing, match="Run `parfocal calibrate lens`"):
        check_lens(instrument, COARSE)


def test_a_poor_lens_is_refused_and_the_earlier_curve_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lens_part, "N_SWEEPS", 3)
    before = store.path.read_bytes()
    with opened(msgspec.structs.replace(TRUE, um_per_ma=1e-4)) as instrument:
        with pytest.raises(
            CalibPoor, match="less than 10 um.*of the lens stays in force; what was seen is in"
        ):
            measured(instrument, COARSE, store)
        assert isinstance(instrument.lens, LensDriver4)
        stub = instrument.lens._transport
        assert isinstance(stub, Driver4Stub)
        assert stub.units == 0
    assert store.path.read_bytes() == before


def test_currents_beyond_the_driver_are_a_configuration_error(store: Store) -> None:
    wide = msgspec.structs.replace(COARSE, lens=LensConfig(kind="optotune", max_ma=300.0))
    with (
        opened(config=wide) as instrument,
        pytest.raises(ValueError, match=r"its driver gives -292\.84\.\.292\.84 mA"),
    ):
        measured(instrument, wide, store)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"currents_ma": (0.0, 1.0, 1.0)}, "currents_ma must ascend or descend"),
        ({"heights_um": (0.0, 1.0, 0.5)}, "heights_um must ascend"),
        ({"heights_um": (0.0, 1.0)}, "it must be as many"),
    ],
)
def test_an_impossible_curve_is_refused_by_name(change: dict[str, tuple[float, ...]], told: str) -> None:
    good = {"currents_ma": (0.0, 1.0, 2.0), "heights_um": (0.0, 1.0, 2.0)}
    with pytest.raises(ValueError, match=told):
        LensTable("board", **(good | change))
