"""One run over a real pseudo-terminal in real time, with the stub in a process of its own."""

from pathlib import Path

import msgspec
import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.own.board import Board
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.cli.focusing.demo import stub_process
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.simscope.bench import _HeldStage, at_stub, sample_from
from parfocal.edge.simscope.held_clock import HeldClock
from tests.edge.scope import small_for_models, with_focus


def test_a_stub_whose_time_goes_at_another_speed_is_named_with_what_to_do() -> None:
    class Forgets:
        def true_um(self, time_s: float) -> tuple[float, float, float]:
            raise ValueError(f"true position at {time_s} s is no longer known, or not yet known.")

        def lamp_duty(self, time_s: float) -> float:
            raise ValueError(f"true position at {time_s} s is no longer known, or not yet known.")

    stage = _HeldStage(Forgets(), HeldClock(MonotonicClock()))
    for ask in (stage.true_um, stage.lamp_duty):
        with pytest.raises(ConfigError, match="at another speed. Start `parfocal stub` without --speed"):
            ask(1.0)


@pytest.mark.parametrize("far_side", ["stub", "firmware"])
def test_images_over_a_pseudo_terminal_show_the_true_height(
    request: pytest.FixtureRequest, tmp_path: Path, far_side: str
) -> None:
    if far_side == "firmware":
        request.getfixturevalue("firmware")
    pytest.importorskip("skimage", reason="the demo extra, with the sample tissue, is not installed")
    link = tmp_path / "board"
    # The focus is not far from where homing ends: this test waits in real time.
    config = with_focus(small_for_models(Config()), first_sweep_start_um=60.0, first_sweep_stop_um=100.0)
    # As fast as the motor of the stub goes.
    z = msgspec.structs.replace(config.board.z, speed_um_per_s=2000.0, accel_um_per_s2=45000.0)
    config = msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, port=str(link), z=z))
    sample = sample_from(None, None, config, seed=1)
    with stub_process(link, far_side), at_stub(sample, config) as instrument:
        board = instrument.board
        board.home(("z",))
        board.lamp(config.scan.lamp_duty)
        assert instrument.truth_at is not None
        focus_z_um = instrument.truth_at(0.0, 0.0).focus_z_um
        sharpness = [
            variance_of_laplacian(
                frame_after(instrument.camera, board.z.approach_up(focus_z_um + off_um)).pixels
            )
            for off_um in (-6.0, 0.0, 6.0)
        ]
        assert sharpness[0] < sharpness[1] > sharpness[2]
        assert abs(instrument.truth_at(0.0, 0.0).stage_z_um - focus_z_um - 6.0) < 0.35
        assert isinstance(board, Board)
        assert board.counters.crc_errors == 0
    assert not link.exists()
