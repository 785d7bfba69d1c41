"""The delay of a triggered camera, measured with the stub's lamp."""

import contextlib
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.calibrate.trigger import TriggerCalibration, flash_delay_s, n_steps
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.simscope.triggered_camera import TriggeredCamera

CONFIG: Config = msgspec.convert(
    {"camera": {"exposure_s": 0.004, "frame_period_s": 0.01, "width_px": 16, "height_px": 16}}, Config
)


@contextlib.contextmanager
def instrument(delay_s: float, gain: float = 800.0) -> Iterator[Instrument]:
    """A microscope whose camera sees nothing but light; `gain`: grey levels of a lamp at full duty."""

    def render(_x_um: float, _y_um: float, _z_um: float, duty: float) -> UInt8Array:
        return np.full((16, 16, 3), min(gain * duty, 255.0), np.uint8)

    bench = VirtualBench()
    with bench.open_board() as board:
        clock = bench.clock
        yield Instrument(
            board,
            SimulatedCamera(bench, clock, CONFIG.camera, render),
            clock,
            triggered=TriggeredCamera(bench, clock, CONFIG.camera, render, delay_s=delay_s),
        )


@pytest.mark.parametrize(("delay_s", "gain"), [(0.00005, 800.0), (0.0021, 800.0), (0.0004, 3000.0)])
def test_the_delay_is_found_though_a_bright_lamp_would_saturate(delay_s: float, gain: float) -> None:
    steps = list[str]()
    with instrument(delay_s, gain) as microscope:
        at_um = microscope.board.z.position_um
        window = TriggerCalibration(microscope, CONFIG, steps.append).run()
        assert microscope.board.z.position_um == at_um
    assert window.delay_s == pytest.approx(delay_s, abs=window.uncertainty_s)
    assert delay_s <= flash_delay_s(window) < delay_s + 2.0 * window.uncertainty_s + 1e-5
    assert window.room_s == pytest.approx(0.004, abs=1e-4)
    assert len(steps) == n_steps(CONFIG)


def test_a_camera_that_runs_free_is_refused_with_the_key_to_set() -> None:
    with instrument(0.0) as microscope, pytest.raises(ConfigError, match=r"set camera\.trigger_line"):
        TriggerCalibration(msgspec.structs.replace(microscope, triggered=None), CONFIG, lambda _words: None)
