"""Recording: upward steps over the focus, continued where it ended."""

import shutil
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from parfocal.board.errors import MoveRefused
from parfocal.calib.value import UsedCalibration
from parfocal.edge.camera.frame import Camera, Frame
from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.instrument import FieldTruth, Instrument
from parfocal.edge.scan.plan import Field
from parfocal.edge.simscope.camera import SimulatedCamera
from parfocal.edge.stacks import stack as stack_module
from parfocal.edge.stacks.extent import Extent, extent_of
from parfocal.edge.stacks.label import label_planes
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.record import Recorder, bytes_of
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from parfocal.edge.words import sized
from tests.edge.scope import FOCUS_Z_UM, SIDE_PX, Scope, with_focus

Lay = Callable[[Path, pytest.MonkeyPatch], None]

USED = UsedCalibration("3f2a90c17b5e", datetime(2026, 11, 26, tzinfo=timezone.utc))
EXTENT = extent_of(5.0, 0.9, 0.3125)
PLAN = (Field(2250.0, 2250.0), Field(2400.0, 2250.0))


def short_sweep(config: Config) -> Config:
    return with_focus(
        config,
        first_sweep_start_um=2485.0,
        first_sweep_stop_um=2515.0,
        first_sweep_step_um=5.0,
        recovery_reach_um=12.0,
        recovery_step_um=3.0,
    )


def with_axis(config: Config, name: str, **changes: float) -> Config:
    """The configuration with other numbers for one axis."""
    axis = msgspec.structs.replace(getattr(config.board, name), **changes)
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, **{name: axis}))


def instrument(scope: Scope, camera: Camera | None = None) -> Instrument:
    return Instrument(
        scope.board,
        scope.camera if camera is None else camera,
        scope.bench.clock,
        lambda _x, _y, _time_s=None: FieldTruth(FOCUS_Z_UM, scope.true_z_um()),
        calibration=USED,
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


def recorder(scope: Scope, folder: Path, camera: Camera | None = None, extent: Extent = EXTENT) -> Recorder:
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
    assert stack.calibration == USED
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


def unreadable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole stack that may not be read. Root may read it: the system's answer to others is put in its place."""
    written(path)
    real = tifffile.TiffFile

    def opened(asked: Path) -> tifffile.TiffFile:
        if asked == path:
            raise PermissionError(13, "Permission denied")
        return real(asked)

    monkeypatch.setattr(tifffile, "TiffFile", opened)


def sixteen_bits(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    planes = np.zeros((3, 40, 50), np.uint16)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "ZYX", "PhysicalSizeZ": 1.0})


def text(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("notes of a week")


def link_to_nothing(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    path.symlink_to(path.parent / "on a drive that is not mounted")


def link_to_damaged(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    target = path.with_name("elsewhere")
    written(target)
    target.write_bytes(target.read_bytes()[:100_000])
    path.symlink_to(target)


def folder(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("notes of a week")


def cut_short_of_others(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(path, np.zeros((3, 400, 500, 3), np.uint8), photometric="rgb", ome=True)
    path.write_bytes(path.read_bytes()[:100_000])


def written(path: Path) -> None:
    """A whole stack of an earlier run."""
    planes = (np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8),) * EXTENT.n_planes
    write_stack(Stack(path, tuple(k * EXTENT.step_um for k in range(EXTENT.n_planes)), planes, 0.345))


def seen(folder: Path) -> dict[str, tuple[bool, bytes | None]]:
    """Every name under a folder, whether it is a link, and what is in it."""
    return {
        str(path): (path.is_symlink(), path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    ("lay", "why"),
    [
        (unreadable, "Permission denied"),
        (sixteen_bits, "3 over 2 um of 50 x 40 px"),
        (text, "not a TIFF"),
        (link_to_nothing, "is not a file"),
        (link_to_damaged, "truncated"),
        (folder, "is not a file"),
        (cut_short_of_others, "truncated"),
    ],
)
def test_what_only_bears_the_name_of_a_stack_is_refused_by_name_and_left_before_anything_moves(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lay: Lay, why: str
) -> None:
    path = tmp_path / "field-0002.ome.tiff"
    lay(path, monkeypatch)
    before, position_um = seen(tmp_path), scope.true_z_um()
    with pytest.raises(ConfigError, match=rf"field-0002\.ome\.tiff .*{why}.*nothing moved"):
        list(recorder(scope, tmp_path).run(PLAN))
    assert seen(tmp_path) == before
    assert scope.true_z_um() == position_um


def test_a_stack_of_ours_that_is_cut_short_is_recorded_again(scope: Scope, tmp_path: Path) -> None:
    plan = (*PLAN, Field(2400.0, 2400.0))
    paths = [tmp_path / f"field-000{number}.ome.tiff" for number in (1, 2, 3)]
    for path, n_bytes in zip(paths, (0, 300, 100_000), strict=True):
        written(path)
        path.write_bytes(path.read_bytes()[:n_bytes])
    assert [done.outcome for done in recorder(scope, tmp_path).run(plan)] == ["recorded"] * 3
    assert {len(read_stack(path).z_um) for path in paths} == {EXTENT.n_planes}


def test_what_a_kill_left_of_a_stack_is_cleared_away(scope: Scope, tmp_path: Path) -> None:
    written(tmp_path / "field-0001.ome.tiff")
    part = (tmp_path / "field-0001.ome.tiff").read_bytes()[:100_000]
    (tmp_path / "field-0009.ome.tiff.part").write_bytes(part)
    (tmp_path / "field-0008.ome.tiff.part").write_text("notes of a week")
    (tmp_path / "mine.part").write_bytes(part)
    assert [done.outcome for done in recorder(scope, tmp_path).run(PLAN[:1])] == ["kept"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "field-0001.ome.tiff",
        "field-0008.ome.tiff.part",
        "mine.part",
    ]


def test_a_folder_that_cannot_be_written_is_told_before_anything_moves(scope: Scope, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    position_um = scope.true_z_um()
    with pytest.raises(ConfigError, match="cannot be written to .*Not a directory; nothing moved"):
        list(recorder(scope, tmp_path / "file").run(PLAN))
    assert scope.true_z_um() == position_um


def test_what_a_field_takes_on_the_disk_is_known_beforehand(scope: Scope, tmp_path: Path) -> None:
    written(tmp_path / "field-0001.ome.tiff")
    taken = (tmp_path / "field-0001.ome.tiff").stat().st_size
    assert taken <= bytes_of(EXTENT, scope.config.camera) < 1.01 * taken
    assert sized(bytes_of(extent_of(13.0, 0.625, 0.3125), Config().camera)) == "154 MB"


def test_a_stack_that_could_not_be_read_again_is_refused_before_anything_moves(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    position_um = scope.true_z_um()
    with pytest.raises(
        ConfigError,
        match=r"12000 planes of 260 x 260 px a field take 2\.5 GB of memory, the limit is 2\.0 GB, .*; nothing moved\.",
    ):
        list(recorder(scope, tmp_path / "large", extent=Extent(0.3125, 12_000)).run(PLAN[:1]))
    assert scope.true_z_um() == position_um
    assert not (tmp_path / "large").exists()
    # The largest stack that is recorded is the largest that is read.
    least = EXTENT.n_planes * (SIDE_PX * SIDE_PX * 3 + stack_module.PLANE_OVERHEAD_BYTES)
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", least)
    (done,) = recorder(scope, tmp_path).run(PLAN[:1])
    assert len(read_stack(tmp_path / done.file).planes) == EXTENT.n_planes
    monkeypatch.setattr(stack_module, "MAX_STACK_BYTES", least - 1)
    with pytest.raises(ConfigError, match="11 planes"):
        list(recorder(scope, tmp_path / "other").run(PLAN[:1]))


def test_a_disk_that_is_too_full_is_told_before_anything_moves(
    scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = bytes_of(EXTENT, scope.config.camera)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=2 * each - 1))
    position_um = scope.true_z_um()
    with pytest.raises(
        ConfigError, match=r"the stacks need 4 MB, but .* has 4 MB free; nothing moved\. Make"
    ):
        list(recorder(scope, tmp_path / "s").run(PLAN))
    assert scope.true_z_um() == position_um
    # What is there already needs no room.
    written(tmp_path / "s" / "field-0001.ome.tiff")
    assert [done.outcome for done in recorder(scope, tmp_path / "s").run(PLAN)] == ["kept", "recorded"]


def test_a_folder_that_was_made_in_vain_does_not_stay(scope: Scope, tmp_path: Path) -> None:
    camera = GivesUp(scope.camera, tmp_path)  # which is there from the beginning
    with pytest.raises(CameraFailed):
        list(recorder(scope, tmp_path / "deep" / "stacks", camera).run(PLAN))
    assert list(tmp_path.iterdir()) == []


class LooksAt:
    """A camera that keeps when the frames that were looked at began."""

    def __init__(self, camera: SimulatedCamera) -> None:
        self._camera = camera
        self.began_s: list[float] = []

    def grab(self) -> Frame:
        frame = self._camera.grab()

        def looked_at() -> NDArray[np.uint8]:
            self.began_s.append(frame.exposure_start_s)
            return frame.pixels

        return Frame(frame.exposure_start_s, looked_at)

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("name", ["x", "y"])
def test_no_shot_of_a_field_is_taken_before_the_stage_is_at_rest_sideways_too(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Longer than the way up to the first shot takes: only waiting for it makes that shot a good one.
    scope = Scope(with_axis(config, name, settle_s=5.0))
    axis, camera, settled_s = getattr(scope.board, name), LooksAt(scope.camera), []
    approach_up: Callable[[float], float] = axis.approach_up

    def noted(target_um: float) -> float:
        settled_s.append(approach_up(target_um))
        return settled_s[-1]

    monkeypatch.setattr(axis, "approach_up", noted)
    list(recorder(scope, tmp_path, camera).run(PLAN[:1]))
    assert len(settled_s) == 1
    assert len(camera.began_s) > EXTENT.n_planes
    assert min(camera.began_s) >= settled_s[0]
    scope.board.close()


def test_the_lamp_is_off_after_a_recording_however_it_ends(scope: Scope, tmp_path: Path) -> None:
    def duty() -> float:
        return scope.bench.lamp_duty(scope.bench.clock.now_s())

    whole = recorder(scope, tmp_path).run(PLAN[:1])
    assert next(whole).outcome == "recorded"
    assert duty() > 0.0
    assert list(whole) == []
    assert duty() == 0.0

    left = recorder(scope, tmp_path).run(PLAN)
    assert [next(left).outcome, next(left).outcome] == ["kept", "recorded"]
    assert duty() > 0.0
    left.close()
    assert duty() == 0.0

    with pytest.raises(CameraFailed):
        list(recorder(scope, tmp_path / "other", GivesUp(scope.camera, tmp_path)).run(PLAN))
    assert duty() == 0.0


def test_stacks_of_other_planes_are_not_mixed(scope: Scope, tmp_path: Path) -> None:
    plane = np.zeros((scope.config.camera.height_px, scope.config.camera.width_px, 3), np.uint8)
    write_stack(Stack(tmp_path / "field-0001.ome.tiff", tuple(range(11)), (plane,) * 11, 0.345))
    other = msgspec.structs.replace(EXTENT, n_planes=13)
    with pytest.raises(ConfigError, match=r"field-0001\.ome\.tiff of an earlier run has 11"):
        list(recorder(scope, tmp_path, extent=other).run(PLAN))


def test_an_empty_field_is_told_and_not_recorded(config: Config, tmp_path: Path) -> None:
    scope = Scope(config, blank=True)
    (done,) = recorder(scope, tmp_path).run(PLAN[:1])
    assert done.outcome == "no focus"
    assert list(tmp_path.iterdir()) == []
    scope.board.close()


@pytest.mark.parametrize("limits", [{"max_um": 2538.0}, {"min_um": 2445.0}])
def test_a_stack_beyond_the_limits_is_refused_before_it_is_begun_and_says_what_moved(
    config: Config, tmp_path: Path, limits: dict[str, float]
) -> None:
    scope = Scope(with_axis(config, "z", **limits))
    with pytest.raises(MoveRefused, match=r"--reach-um") as refused:
        list(recorder(scope, tmp_path, extent=extent_of(40.0, 5.0, 0.3125)).run(PLAN[:1]))
    assert scope.board.z.position_um <= 2515.0
    assert "nothing moved" not in str(refused.value)
    stands = f"is at the field, at z={scope.board.z.position_um:.1f} um; none of these planes was taken"
    assert stands in str(refused.value)
    scope.board.close()


def test_a_first_sweep_beyond_the_limits_is_refused_before_anything_moves(
    config: Config, tmp_path: Path
) -> None:
    scope = Scope(with_axis(config, "z", min_um=2480.0))
    before = scope.bench.true_um(scope.bench.clock.now_s())
    with pytest.raises(MoveRefused, match=r"sweep from z=2485.0 to 2515.0 um refused: .* nothing moved"):
        list(recorder(scope, tmp_path).run(PLAN[:1]))
    assert scope.bench.true_um(scope.bench.clock.now_s()) == before
    scope.board.close()
