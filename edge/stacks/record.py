"""Records stacks on the microscope, field by field; a run that was interrupted can be continued."""

import contextlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.errors import MoveRefused
from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.stack_faults import heights_again, moved_um
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.calib.value import UsedCalibration
from parfocal.edge.config import CameraConfig, Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.picture.sharpness import peak_um
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.plan import Field
from parfocal.edge.stacks.extent import Extent
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.stack import Stack, StackDamaged, StackRefused, too_large
from parfocal.edge.stacks.write import is_begun, write_stack
from parfocal.edge.whole_file import check_can_write, free_bytes, part_of
from parfocal.edge.words import counted, sized

METADATA_BYTES_PER_PLANE = 1000


class FieldRecord(msgspec.Struct, frozen=True):
    """One field: "recorded", "kept" from an earlier run, or "no focus": no peak to centre a stack on."""

    file: str
    outcome: Literal["recorded", "kept", "no focus"]
    z_um: tuple[float, ...] = ()
    focus_z_um: float | None = None


class Recording(msgspec.Struct, frozen=True):
    """All fields of a run, in order, and the folder of their files. `calibration` was in force; None without one."""

    out: str
    fields: tuple[FieldRecord, ...]
    calibration: UsedCalibration | None = None


def fits(extent: Extent, camera: CameraConfig) -> bool:
    """Whether `read_stack` would read such a stack of a field."""
    return _too_large(extent, camera) is None


def _too_large(extent: Extent, camera: CameraConfig) -> str | None:
    return too_large(extent.n_planes, camera.width_px * camera.height_px * 3)


def bytes_of(extent: Extent, camera: CameraConfig) -> int:
    """Size of one field's stack on disk: its planes, uncompressed, and a little metadata.

    Lossless compression (Deflate with horizontal differences) would save 40 %, since camera noise does not compress,
    and take three times as long to write and fifteen times as long to read.
    """
    return extent.n_planes * (camera.width_px * camera.height_px * 3 + METADATA_BYTES_PER_PLANE)


class Recorder:
    """Records the fields of a plan into one folder, one file per field."""

    def __init__(self, instrument: Instrument, config: Config, extent: Extent, folder: Path) -> None:
        """Nothing moves."""
        self._instrument, self._config, self._extent, self._folder = instrument, config, extent, folder
        self._axis: Axis = instrument.board.z
        self._shots = Shots(self._axis, instrument.camera, config.focus)
        self._pivot_um: float | None = None
        self._is_ready = False

    def run(self, plan: tuple[Field, ...]) -> Generator[FieldRecord, None, None]:
        """Record the fields that are not in the folder yet, in the order of `plan`.

        Raises:
            ConfigError: a stack would be too large to be read, other files have the names of the stacks, or the folder
                is not writable; nothing moved.
            MoveRefused: a stack would leave the limits; it was not begun.
            BoardError, CameraFailed: as they come; the fields yielded so far are on disk.
        """
        self._check_size()
        kept = [self._kept(number) for number in range(1, len(plan) + 1)]
        self._check_folder(kept)
        if None in kept:
            self._check_first_sweep()
        self._clear_parts()
        with contextlib.ExitStack() as lit:
            for number, (field, there) in enumerate(zip(plan, kept, strict=True), start=1):
                if there is not None:
                    yield there
                    continue
                if not self._is_ready:
                    self._instrument.home_if_allowed()
                    lit.enter_context(self._instrument.lit(self._config.scan.lamp_duty))
                    self._is_ready = True
                yield self._field(self._path(number), field)

    def _check_size(self) -> None:
        """Refuse stacks that `read_stack` would refuse. Raises ConfigError."""
        camera, extent = self._config.camera, self._extent
        why = _too_large(extent, camera)
        if why:
            raise ConfigError(
                f"{counted(extent.n_planes, 'plane')} of {camera.width_px} x {camera.height_px} px a field {why}, and "
                "the stack could not be read again; nothing moved. Give a smaller --reach-um or a larger --step-um."
            )

    def _path(self, number: int) -> Path:
        return self._folder / f"field-{number:04d}.ome.tiff"

    def _kept(self, number: int) -> FieldRecord | None:
        """The stack of an earlier run; None if there is none, or a damaged one of ours, which is recorded again.

        Raises ConfigError if any other file has its name: it may be somebody's data.
        """
        path = self._path(number)
        if not os.path.lexists(path):
            return None
        if not path.is_file():
            raise _in_the_way(path, "is not a file")
        try:
            stack = read_stack(path)
        except StackDamaged as error:
            if is_begun(path):
                return None
            raise _in_the_way(path, f"cannot be continued: {error.why}") from error
        except StackRefused as error:
            raise _in_the_way(path, f"cannot be continued: {error.why}") from error
        self._check_alike(stack)
        return FieldRecord(path.name, "kept", stack.z_um, stack.focus_z_um)

    def _check_folder(self, kept: list[FieldRecord | None]) -> None:
        """Refuse a folder that is not writable or has no room for the stacks. Raises ConfigError."""
        missing = [self._path(number) for number, there in enumerate(kept, start=1) if there is None]
        if not missing:
            return
        try:
            check_can_write(missing[0])
        except OSError as error:
            raise ConfigError(
                f"stacks cannot be written to {self._folder}: {error.strerror or error}; nothing moved. "
                "Give another --out."
            ) from error
        needed = len(missing) * bytes_of(self._extent, self._config.camera)
        free = free_bytes(self._folder)
        if needed > free:
            raise ConfigError(
                f"the stacks need {sized(needed)}, but {self._folder} has {sized(free)} free; nothing moved. "
                "Make room, give another --out, or record fewer --fields or planes (--reach-um, --step-um)."
            )

    def _clear_parts(self) -> None:
        """Remove the unfinished file of a run that was killed."""
        for part in self._folder.glob(part_of(self._path(0)).name.replace("0000", "*")):
            if is_begun(part):
                part.unlink()

    def _check_alike(self, stack: Stack) -> None:
        camera, extent = self._config.camera, self._extent
        height_um = stack.z_um[-1] - stack.z_um[0]
        alike = (
            len(stack.z_um) == extent.n_planes and abs(height_um - extent.height_um) < extent.step_um / 2.0
        )
        if not alike or stack.shape_px != (camera.height_px, camera.width_px):
            raise ConfigError(
                f"{extent.n_planes} planes over {extent.height_um:g} um of {camera.width_px} x {camera.height_px} px "
                f"were asked for, but {stack.path} of an earlier run has {len(stack.z_um)} over {height_um:g} um of "
                f"{stack.shape_px[1]} x {stack.shape_px[0]} px; nothing moved. Give another --out, or the same numbers."
            )

    def _field(self, path: Path, field: Field) -> FieldRecord:
        self._instrument.go_to(field.x_um, field.y_um)
        centre_um = self._focus_near_um()
        if centre_um is None:
            return FieldRecord(path.name, "no focus")
        self._pivot_um = centre_um
        planes, curve = self._planes(centre_um)
        z_um, focus_moved_um = curve.z_um, self._moved_um(curve)
        truth_at = self._instrument.truth_at
        focus_z_um = truth_at(field.x_um, field.y_um).focus_z_um if truth_at else None
        stack = Stack(
            path,
            z_um,
            tuple(planes),
            self._config.camera.um_per_px,
            focus_z_um,
            calibration=self._instrument.calibration,
            focus_moved_um=focus_moved_um,
        )
        write_stack(stack)
        return FieldRecord(path.name, "recorded", z_um, focus_z_um)

    def _focus_near_um(self) -> float | None:
        """Peak of a coarse upward sweep: the slide's first sweep, later one about the focus of the field before."""
        focus = self._config.focus
        if self._pivot_um is None:
            start_um, stop_um = focus.first_sweep_start_um, focus.first_sweep_stop_um
            step_um = focus.first_sweep_step_um
        else:
            start_um = self._pivot_um - focus.recovery_reach_um
            stop_um, step_um = self._pivot_um + focus.recovery_reach_um, focus.recovery_step_um
        self._check_limits(start_um, stop_um)
        swept = self._shots.sweep(start_um, stop_um, step_um)
        return peak_um([seen.z_um for seen in swept], [seen.sharpness for seen in swept])

    def _planes(self, centre_um: float) -> tuple[list[UInt8Array], FocusCurve]:
        """Images and focus curve of the planes, from the lowest up, each after an upward move."""
        extent = self._extent
        start_um = centre_um - extent.height_um / 2.0
        self._check_limits(start_um, start_um + extent.height_um)
        shots = [self._shots.take(start_um)]
        # Counted in whole motor steps from where the axis stands, whatever the height of the focus.
        for k in range(1, extent.n_planes):
            shots.append(self._shots.take(shots[0].z_um + k * extent.step_um))
        return [shot.pixels for shot in shots], _curve(shots)

    def _moved_um(self, stack: FocusCurve) -> float | None:
        """How far the focus is away when it is looked at again; None where the curves have no clear peak."""
        try:
            again = heights_again(stack.z_um, peak_of(stack).z_um, depth_scale(self._config.focus.objective))
            if again is None:
                return None
            return moved_um(stack, _curve([self._shots.take(z_um) for z_um in again]))
        except (CalibPoor, ValueError):  # the stack stays as it is
            return None

    def _check_first_sweep(self) -> None:
        """Refuse a first sweep beyond the limits, before anything moves. Raises MoveRefused."""
        focus = self._config.focus
        if not self._is_allowed(focus.first_sweep_start_um, focus.first_sweep_stop_um):
            raise MoveRefused(
                f"sweep from z={focus.first_sweep_start_um} to {focus.first_sweep_stop_um} um refused: with the run-up "
                f"the limit is {self._reach_text()}; nothing moved. Change focus.first_sweep_start_um / "
                "first_sweep_stop_um or the limits of board.z."
            )

    def _check_limits(self, low_um: float, high_um: float) -> None:
        """Refuse planes beyond the limits. Raises MoveRefused."""
        if not self._is_allowed(low_um, high_um):
            raise MoveRefused(
                f"planes from z={low_um:.1f} to {high_um:.1f} um refused: with the run-up the limit is "
                f"{self._reach_text()}. The stage is at the field, at z={self._axis.position_um:.1f} um; none of these "
                "planes was taken. Give a smaller --reach-um, or other limits of board.z."
            )

    def _is_allowed(self, low_um: float, high_um: float) -> bool:
        lowest_um, highest_um = self._reach_um()
        return lowest_um <= low_um and high_um <= highest_um

    def _reach_um(self) -> tuple[float, float]:
        """Lowest and highest plane: the run-up must fit below, and the axis rounds to its steps."""
        lowest_um, highest_um = self._axis.limits_um
        spare_um = self._axis.config.um_per_step
        return lowest_um + self._axis.overshoot_um + spare_um, highest_um - spare_um

    def _reach_text(self) -> str:
        lowest_um, highest_um = self._reach_um()
        return f"{lowest_um:.1f}..{highest_um:.1f} um"


def _curve(shots: Sequence[Shot]) -> FocusCurve:
    z_um, sharpness = tuple(shot.z_um for shot in shots), tuple(shot.sharpness for shot in shots)
    return FocusCurve("up", z_um, sharpness, (0.0,) * len(shots), 0.0)


def _in_the_way(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} has the name of a stack to record but {why}; it was left as it is, and nothing moved. "
        "Move it away, or give another --out."
    )
