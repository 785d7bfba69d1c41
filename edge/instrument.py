"""An instrument that is ready to work: a board, a camera and their clock."""

import contextlib
from collections.abc import Iterator
from typing import Protocol

import msgspec

from parfocal.board.capabilities import Capabilities
from parfocal.board.clock import Clock, MonotonicClock
from parfocal.board.guarded import open_guarded
from parfocal.board.lens import Lens
from parfocal.board.motor_board import MotorBoard
from parfocal.board.status import cannot_promise
from parfocal.board.tunable.opened import opened_lens
from parfocal.calib.camera.view import View
from parfocal.calib.value import UsedCalibration
from parfocal.edge.camera.frame import Adjustable, Camera, CameraSettings, TriggeredCamera
from parfocal.edge.camera.linear import LinearCamera, LinearTriggered, raw_camera
from parfocal.edge.camera.opened import open_camera, triggered_of
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.measured.calibration import (
    CameraInUse,
    FlatField,
    PlayInUse,
    SpacingInUse,
    use_calibration,
)
from parfocal.edge.measured.optics_in_use import OpticsInUse, SingleInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.engines.predictor import AS_SHIPPED, Correction, Predictor


class FieldTruth(msgspec.Struct, frozen=True):
    """What only a simulation knows: the true heights of the focus and of the stage."""

    focus_z_um: float
    stage_z_um: float


class TruthAt(Protocol):
    """Tells the truth about the field under the objective: now, or at a moment that is not long ago."""

    def __call__(self, x_um: float, y_um: float, time_s: float | None = None, /) -> FieldTruth:
        """The heights at `time_s`, now where it is None."""
        ...


class Instrument(msgspec.Struct, frozen=True):
    """A board, a camera and a clock that belong together.

    `truth_at` is set only in a simulation. `may_home`: a run may home the axes by itself, as on a virtual stage; at
    a real one somebody looks first. `notes`: remarks on board, camera and calibration, to be shown before a run.
    `plays`: the play of each axis that is in use, and where it comes from. `calibration` names the calibration in
    force, None without one. `view`: how the picture lies on the stage. `optics`: how the model is corrected, None if
    it is not, and `correction` what does it. `spacing`: where the loop takes its shots, None for the configured.
    `above_sharpest_um`: how far the corrected model ends above the sharpest plane, None if nobody knows. `single`: what
    was measured of the single-shot model. `flat_field`: the light over a frame, None if it was not measured.
    `triggered`: the camera that exposes when the board triggers it, None if it cannot; `trigger`: when it does, None
    for as configured. `lens`: the tunable lens, None without one.
    """

    board: MotorBoard
    camera: Camera
    clock: Clock
    truth_at: TruthAt | None = None
    may_home: bool = False
    notes: tuple[str, ...] = ()
    plays: tuple[PlayInUse, ...] = ()
    calibration: UsedCalibration | None = None
    view: View = View(1.0)
    optics: OpticsInUse | None = None
    correction: Correction = AS_SHIPPED
    spacing: SpacingInUse | None = None
    above_sharpest_um: float | None = None
    single: SingleInUse = SingleInUse()
    flat_field: FlatField | None = None
    triggered: TriggeredCamera | None = None
    trigger: TriggerInUse | None = None
    lens: Lens | None = None

    def calibrated(self, predictor: Predictor, config: FocusConfig) -> tuple[Predictor, FocusConfig]:
        """Model and focus rule as they were measured on this instrument.

        Raises InputMismatch for a model that does not take its correction.
        """
        if self.correction is not AS_SHIPPED:
            predictor = predictor.corrected(self.correction)
        return predictor, config if self.spacing is None else self.spacing.of(config)

    def used_config(self, config: Config) -> Config:
        """The configuration with axes and exposure as they are in use: with what a calibration measured."""
        axes = {name: axis.config for name, axis in self.board.axes.items()}
        camera = raw_camera(self.camera)
        exposure_s = camera.settings().exposure_s if isinstance(camera, Adjustable) else None
        return msgspec.structs.replace(
            config,
            board=msgspec.structs.replace(config.board, **axes),
            camera=msgspec.structs.replace(config.camera, exposure_s=exposure_s or config.camera.exposure_s),
        )

    def home_if_allowed(self) -> None:
        """Home the axes if they are not homed and the instrument may do so by itself. Raises BoardError."""
        if self.may_home and not self.board.z.is_homed:
            self.board.home()

    def go_to(self, x_um: float, y_um: float) -> None:
        """Move to a field, approached from below, and wait until the stage is at rest. Raises BoardError."""
        self.clock.sleep_s(self.board.across(x_um=x_um, y_um=y_um) - self.clock.now_s())

    def approach(self, x_um: float, y_um: float, z_um: float) -> float:
        """Go to a place at a height, Z from below; return the time from which it is at rest, s.

        X and Y arrive by the shortest way if their play is measured, else from below as well. Raises BoardError.
        """
        measured = {play.axis for play in self.plays if play.uncertainty_um is not None}
        return self.board.arrive(x_um=x_um, y_um=y_um, z_um=z_um, either_way={"x", "y"} <= measured)

    def error_um(self) -> float | None:
        """True height of the stage above the true focus, where it stands; None on a real microscope."""
        return self.error_um_at(self.board.x.position_um, self.board.y.position_um)

    def error_um_at(self, x_um: float, y_um: float, time_s: float | None = None) -> float | None:
        """The same at another place, and at a moment that is not long ago."""
        if self.truth_at is None:
            return None
        truth = self.truth_at(x_um, y_um, time_s)
        return truth.stage_z_um - truth.focus_z_um

    @contextlib.contextmanager
    def lit(self, duty: float) -> Iterator[None]:
        """The lamp at `duty` (0..1), and off again however the block ends. Raises BoardError.

        A board without a lamp leaves the light to the user; `notes` say so.
        """
        if not self.board.capabilities.has_lamp:
            yield
            return
        try:
            self.shine(duty)
            yield
        finally:
            self.board.lamp(0.0)

    def shine(self, duty: float) -> None:
        """Set the lamp of a board that has one; shots from now on are exposed in this light. Raises BoardError."""
        self.board.lamp(duty)
        # A free-running camera has frames ready from before, and where the stage stands already no move dates them.
        self.board.rests_from(self.clock.now_s())


def board_notes(capabilities: Capabilities) -> tuple[str, ...]:
    """What a user must know because the board cannot promise it, a sentence each."""
    return tuple(f"board: {sentence}" for sentence in cannot_promise(capabilities))


def calibrated_camera(camera: Camera, measured: CameraInUse) -> Camera:
    """The camera with its measured exposure, and with its gamma undone if it has one. Raises CameraFailed."""
    if measured.exposure_s is not None and isinstance(camera, Adjustable):
        camera.set_exposure(measured.exposure_s)
    return camera if measured.gamma is None else LinearCamera(camera, measured.gamma, measured.dark_level)


def calibrated_trigger(camera: TriggeredCamera | None, measured: CameraInUse) -> TriggeredCamera | None:
    """The triggered camera, with its gamma undone if it has one."""
    if camera is None or measured.gamma is None:
        return camera
    return LinearTriggered(camera, measured.gamma, measured.dark_level)


@contextlib.contextmanager
def real_instrument(config: Config, without_damaged: bool = False) -> Iterator[Instrument]:
    """The configured board and camera. `without_damaged`: as `use_calibration` takes it.

    Raises what `open_guarded` raises, CameraFailed, and CalibError for an invalid calibration.
    """
    clock = MonotonicClock()
    with open_guarded(config.board, clock) as board:
        in_use = use_calibration(board, config, without_damaged)
        locked = CameraSettings(gain=in_use.camera.gain, white_balance=in_use.camera.white_balance)
        opened, of_camera = open_camera(config.camera, locked)
        with contextlib.closing(opened), opened_lens(config.lens, board, clock) as lens:
            camera = calibrated_camera(opened, in_use.camera)
            of_board = board_notes(board.capabilities)
            notes = (*in_use.notes, *of_board, *(f"camera: {note}" for note in of_camera))
            yield Instrument(
                board,
                camera,
                clock,
                notes=notes,
                plays=in_use.plays,
                calibration=in_use.calibration,
                view=in_use.view,
                optics=in_use.optics,
                correction=in_use.correction,
                spacing=in_use.spacing,
                above_sharpest_um=in_use.above_sharpest_um,
                single=in_use.single,
                flat_field=in_use.flat_field,
                triggered=calibrated_trigger(triggered_of(opened, config.camera), in_use.camera),
                trigger=in_use.trigger,
                lens=lens,
            )
