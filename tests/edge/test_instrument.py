"""What of the configuration reaches the engine, what is told before a run over fields, and how it ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from rich.console import Console

from parfocal.board.config import BoardConfig
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge import engine, instrument
from parfocal.edge.cli.focusing.focus import focus_fields
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.focus.shots import Shots
from parfocal.edge.instrument import board_notes
from parfocal.edge.measured.calibration import CameraInUse
from parfocal.edge.scan.plan import Field
from parfocal.engines.cache import EngineCache
from parfocal.engines.errors import EngineError, InputMismatch
from parfocal.engines.opening import OpenedEngine, open_chosen
from parfocal.engines.predictor import Predictor
from tests.contracts import difference_contract
from tests.edge.camera.v4l2 import Capture, Device
from tests.edge.scope import FOCUS_Z_UM, KnowsTruth, Scope, with_focus


@pytest.mark.parametrize(("text", "arrived"), [("", 0), ("[focus]\nthreads = 1\n", 1)])
def test_model_and_number_of_threads_of_the_configuration_reach_the_engine(
    text: str, arrived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def opened(
        model: Path, cache: EngineCache, *, n_threads: int = 0, condenser: float | None = None
    ) -> OpenedEngine:
        asked.append((model.stem, n_threads))
        return open_chosen(model, cache, n_threads=n_threads, condenser=condenser)

    monkeypatch.setattr(engine, "open_chosen", opened)
    assert engine.checked_engine(config_from_toml(text, "t")).predictor.contract.name == "difference-20x"
    assert asked == [("difference-20x", arrived), ("single-20x", arrived)]


def test_a_camera_too_small_for_single_shots_is_focused_by_two_and_the_description_says_so() -> None:
    small = "[camera]\nwidth_px = 640\nheight_px = 480\n"
    engines = engine.checked_engine(config_from_toml(small, "t"))
    assert engines.single is None
    assert "two shots alone: the configured frames of 640 x 480 px are too small" in engines.description
    # One that was asked for is not left out.
    with pytest.raises(InputMismatch, match="refused as focus.single_model"):
        engine.checked_engine(config_from_toml('[focus]\nsingle_model = "difference-20x"\n', "t"))


def test_the_lamp_goes_out_however_a_run_ends(config: Config) -> None:
    scope = Scope(config)
    opened = instrument.Instrument(scope.board, scope.camera, scope.bench.clock)

    class Fails:
        contract = difference_contract()

        def infer(self, _batch: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            raise EngineError("the engine has gone")

    lit: list[float] = []
    near = with_focus(
        config, first_sweep_start_um=2486.0, first_sweep_stop_um=2516.0, first_sweep_step_um=2.0
    )

    def look(_done: object) -> None:
        lit.append(scope.bench.lamp_duty(scope.bench.clock.now_s()))

    predictor = Predictor(KnowsTruth(scope.bench, FOCUS_Z_UM))
    plan = (Field(20_000.0, 10_000.0),)
    focus_fields(opened, predictor, near, plan, Console(quiet=True), look)
    assert lit == [config.scan.lamp_duty]
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0
    with pytest.raises(EngineError):
        focus_fields(opened, Predictor(Fails()), near, plan, Console(quiet=True))
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0


def test_a_shot_after_the_lamp_came_on_is_lit_though_nothing_moved(config: Config) -> None:
    scope = Scope(config)
    opened = scope.instrument()
    scope.board.lamp(0.0)
    scope.bench.clock.sleep_s(1.0)  # the camera goes on, and has frames of the dark ready
    with opened.lit(config.scan.lamp_duty):
        z_um = opened.board.z.position_um
        shot = Shots(opened.board.z, opened.camera, config.focus).take(z_um)
    assert shot.pixels.mean() > 100.0


def test_the_configuration_in_use_has_the_axes_and_the_exposure_that_were_measured(config: Config) -> None:
    scope = Scope(config)
    opened = scope.instrument()
    scope.board.x.use_rates(1234.0, 5678.0)
    assert opened.used_config(config).camera == config.camera
    camera = instrument.calibrated_camera(opened.camera, CameraInUse(exposure_s=0.0056, gamma=0.5))
    used = msgspec.structs.replace(opened, camera=camera).used_config(config)
    assert used.camera.exposure_s == 0.0056
    assert used.board.x.speed_um_per_s == 1234.0
    assert used.focus == config.focus


@pytest.mark.parametrize("downsample", [1, 2])
def test_frames_just_large_enough_are_not_refused(downsample: int) -> None:
    side_px = 448 * downsample
    text = f"[camera]\nwidth_px = {side_px}\nheight_px = {side_px}\n[focus]\ndownsample = {downsample}\n"
    engine.check_frame_size(config_from_toml(text, "t"))
    with pytest.raises(ConfigError, match=f"{side_px - 1} x {side_px} px"):
        engine.check_frame_size(config_from_toml(text.replace(f"{side_px}", f"{side_px - 1}", 1), "t"))


@pytest.fixture
def microscope(monkeypatch: pytest.MonkeyPatch) -> VirtualBench:
    """A real microscope, as far as a test has one: a board in virtual time and a V4L2 camera without a gain."""
    bench, device = VirtualBench(), Device()
    del device.controls[cv2.CAP_PROP_GAIN]

    @contextlib.contextmanager
    def opened(config: BoardConfig, _clock: object) -> Iterator[Board]:
        yield bench.open_board(config)

    monkeypatch.setattr(instrument, "open_guarded", opened)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _number, api: Capture(device, api))
    return bench


def test_what_is_to_be_known_of_the_camera_is_told_before_a_run(
    microscope: VirtualBench, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = Predictor(KnowsTruth(microscope, FOCUS_Z_UM))
    with instrument.real_instrument(Config()) as opened, pytest.raises(FocusLost):
        focus_fields(opened, predictor, Config(), (), Console())
    assert "camera: its gain cannot be locked" in capsys.readouterr().out


def test_the_lamp_is_off_after_a_run_that_failed(microscope: VirtualBench) -> None:
    predictor, duties = Predictor(KnowsTruth(microscope, FOCUS_Z_UM)), []
    with instrument.real_instrument(Config()) as opened:
        lamp = opened.board.lamp
        with pytest.raises(FocusLost):
            focus_fields(opened, predictor, Config(), (), Console())
        # Before the board is closed: then nobody is left to put it out.
        duties.append(microscope.lamp_duty(microscope.clock.now_s()))
        lamp(0.6)
        duties.append(microscope.lamp_duty(microscope.clock.now_s()))
    assert duties == [0.0, pytest.approx(0.6, abs=0.01)]


def test_a_board_without_a_lamp_or_a_watchdog_is_used_and_its_user_told(config: Config) -> None:
    scope = Scope(config)
    lacking = msgspec.structs.replace(scope.board.capabilities, has_lamp=False, has_watchdog=False)
    assert board_notes(scope.board.capabilities) == ()
    lamp, watchdog = board_notes(lacking)
    assert "no lamp; turn the light on by hand" in lamp
    assert "no watchdog" in watchdog
    scope.board.lamp(0.25)
    scope.board.capabilities = lacking
    with scope.instrument().lit(0.6):
        assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.25
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.25
