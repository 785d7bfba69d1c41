"""Recording: upward steps over the focus, continued where it ended."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.board.errors import MoveRefused
from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.frame import Frame
from parfocal.edge.label import label_planes
from parfocal.edge.plan import Field
from parfocal.edge.record import Extent, Recorder, extent_of
from parfocal.edge.report import FieldTruth
from parfocal.edge.run import Instrument
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.stack import read_stack, write_stack
from tests.edge.scope import FOCUS_Z_UM, Scope, with_focus

EXTENT = extent_of(5.0, 0.9, 0.3125)
PLAN = (Field(2250.0, 2250.0), Field(2400.0, 2250.0))


def short_sweep(config: Config) -> Config:
    return with_focus(
        config,
        first_sweep_start_um=2470.0,
        first_sweep_stop_um=2530.0,
        first_sweep_step_um=5.0,
        recovery_reach_um=12.0,
        recovery_step_um=3.0,
    )


def instrument(scope: Scope, camera: object = None) -> Instrument:
    return Instrument(
        scope.board,
        camera if isinstance(camera, GivesUp) else scope.camera,
        scope.bench.clock,
        lambda _x, _y: FieldTruth(FOCUS_Z_UM, scope.true_z_um()),
    )


class GivesUp:
    """A camera that is unplugged some frames after a file is there."""

    def __init__(self, camera: SimulatedCamera, file: Path) -> None:
        self._camera, self._file, self._left = camera, file, 20

    def grab(self) -> Frame:
        self._left -= self._file.exists()
        if self._left < 0:
            raise CameraFailed("unplugged")
        return self._camera.grab()

    def close(self) -> None:
        """Nothing to let go of."""


def recorder(scope: Scope, folder: Path, camera: object = None, extent: Extent = EXTENT) -> Recorder:
    return Recorder(instrument(scope, camera), short_sweep(scope.config), extent, folder)


def test_planes_are_whole_motor_steps_apart() -> None:
    assert extent_of(13.0, 0.625, 0.3125) == Extent(0.625, 41)
    assert extent_of(5.0, 0.9, 0.3125) == Extent(0.9375, 11)


@pytest.mark.parametrize(
    ("reach_um", "step_um", "why"),
    [
        (13.0, 0.1, "--step-um"),
        (13.0, float("nan"), "--step-um"),
        (1.0, 0.625, "--reach-um"),
        (float("inf"), 0.625, "--reach-um"),
    ],
)
def test_what_is_no_stack_is_refused_before_anything_moves(reach_um: float, step_um: float, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        extent_of(reach_um, step_um, 0.3125)


def test_a_stack_is_evenly_spaced_true_to_height_and_known_in_focus(scope: Scope, tmp_path: Path) -> None:
    (done,) = recorder(scope, tmp_path).run(PLAN[:1])
    assert done.outcome == "recorded"
    stack = read_stack(tmp_path / done.file)
    assert np.diff(stack.z_um) == pytest.approx(0.9375)
    assert stack.z_um[0] < FOCUS_Z_UM - 2.0
    assert stack.z_um[-1] > FOCUS_Z_UM + 2.0
    assert stack.focus_z_um == FOCUS_Z_UM
    # The heights of the file are the true ones in spite of 20 um of play: the label says the same as the truth.
    assert label_planes(stack.planes, stack.z_um).focus_z_um == pytest.approx(FOCUS_Z_UM, abs=0.5)
    assert scope.true_z_um() == pytest.approx(stack.z_um[-1], abs=0.2)
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0


def test_a_run_that_was_cut_off_is_continued_with_the_field_it_was_in(scope: Scope, tmp_path: Path) -> None:
    first = tmp_path / "field-0001.ome.tiff"
    run = recorder(scope, tmp_path, GivesUp(scope.camera, first)).run(PLAN)
    assert next(run).outcome == "recorded"
    with pytest.raises(CameraFailed):
        next(run)
    assert [p.name for p in tmp_path.iterdir()] == [first.name]
    written = first.stat().st_mtime_ns
    # What a loss of power may leave of the second: a name with half a file under it.
    (tmp_path / "field-0002.ome.tiff").write_bytes(first.read_bytes()[:100_000])
    again = list(recorder(scope, tmp_path).run(PLAN))
    assert [done.outcome for done in again] == ["kept", "recorded"]
    assert first.stat().st_mtime_ns == written
    assert len(read_stack(tmp_path / "field-0002.ome.tiff").z_um) == EXTENT.n_planes
    assert [done.outcome for done in recorder(scope, tmp_path).run(PLAN)] == ["kept", "kept"]


def test_stacks_of_other_planes_are_not_mixed(scope: Scope, tmp_path: Path) -> None:
    plane = np.zeros((scope.config.camera.height_px, scope.config.camera.width_px, 3), np.uint8)
    write_stack(tmp_path / "field-0001.ome.tiff", [plane] * 11, range(11), 0.345)
    other = msgspec.structs.replace(EXTENT, n_planes=13)
    with pytest.raises(ConfigError, match=r"field-0001\.ome\.tiff of an earlier run has 11"):
        list(recorder(scope, tmp_path, extent=other).run(PLAN))


def test_an_empty_field_is_told_and_not_recorded(config: Config, tmp_path: Path) -> None:
    scope = Scope(config, blank=True)
    (done,) = recorder(scope, tmp_path).run(PLAN[:1])
    assert done.outcome == "no focus"
    assert list(tmp_path.iterdir()) == []
    scope.board.close()


def test_a_stack_beyond_the_limits_is_refused_before_it_is_begun(scope: Scope, tmp_path: Path) -> None:
    with pytest.raises(MoveRefused, match=r"--reach-um"):
        list(recorder(scope, tmp_path, extent=extent_of(3000.0, 500.0, 0.3125)).run(PLAN[:1]))
    assert scope.board.z.position_um <= 2530.0
