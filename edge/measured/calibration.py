"""What was measured on a microscope, put to use when its board is opened."""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.motor_board import MotorBoard
from parfocal.calib.camera.response import LINEAR_WITHIN
from parfocal.calib.camera.seen_light import MeasuredLight
from parfocal.calib.camera.view import View
from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.store import Calibration, Owner, Store, default_folder
from parfocal.calib.value import Measured, UsedCalibration
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.measured.aim import aimed
from parfocal.edge.measured.optics_in_use import OpticsInUse, SingleInUse, optics_of, single_of
from parfocal.edge.measured.trigger_in_use import TriggerInUse, trigger_of
from parfocal.engines.predictor import AS_SHIPPED, Correction


class PlayInUse(msgspec.Struct, frozen=True):
    """The play of an axis that a run works with. Uncertainty and date are None if the configuration gives it."""

    axis: str
    play_um: float
    uncertainty_um: float | None = None
    measured_at: datetime | None = None


class CameraInUse(msgspec.Struct, frozen=True):
    """What was measured of the camera and is used; None where it is not. Gain and white balance in its own units.

    `gamma` is None for a linear camera.
    """

    exposure_s: float | None = None
    gain: float | None = None
    white_balance: float | None = None
    gamma: float | None = None
    dark_level: float = 0.0


Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
AnyLevel = Annotated[float, msgspec.Meta(gt=0.0, le=255.0)]


class FlatField(msgspec.Struct, frozen=True):
    """How bright each part of a frame of `frame_px` is: a grid of shares of the brightest, corner to corner.

    As in the raw data of the camera. `frame_px` is None where they do not say. `fall`: that of the darkest corner and
    its uncertainty. `white`: levels of the brightest part, red, green, blue, under a lamp of `lamp_duty`.
    """

    flat: tuple[tuple[Share, ...], ...]
    frame_px: tuple[int, int] | None = None
    fall: tuple[float, float] | None = None
    white: tuple[AnyLevel, AnyLevel, AnyLevel] | None = None
    lamp_duty: float | None = None

    def light(self, lamp_duty: float) -> MeasuredLight:
        """What empty fields are compared with, in a run whose lamp has `lamp_duty`."""
        uncertainty = 0.0 if self.fall is None else self.fall[1]
        return MeasuredLight(self.flat, uncertainty, self.white, self.lamp_duty == lamp_duty)


class SpacingInUse(msgspec.Struct, frozen=True):
    """Where the loop takes its shots, below the pivot, as `parfocal calibrate focus` chose it."""

    z0_below_um: float
    z1_below_um: float

    def of(self, config: FocusConfig) -> FocusConfig:
        """The configuration of the focus rule with this spacing."""
        return msgspec.structs.replace(config, z0_below_um=self.z0_below_um, z1_below_um=self.z1_below_um)


class InUse(msgspec.Struct, frozen=True):
    """What an open board works with, remarks for the user, a sentence each, and how the picture lies on the stage.

    `calibration` names the calibration in force; None if nothing was measured on this microscope. `trigger`: None for a
    flash as configured.
    """

    plays: tuple[PlayInUse, ...]
    notes: tuple[str, ...]
    view: View
    calibration: UsedCalibration | None = None
    camera: CameraInUse = CameraInUse()
    optics: OpticsInUse | None = None
    correction: Correction = AS_SHIPPED
    spacing: SpacingInUse | None = None
    above_sharpest_um: float | None = None
    single: SingleInUse = SingleInUse()
    flat_field: FlatField | None = None
    trigger: TriggerInUse | None = None


def store_for(board_serial: int, config: Config) -> Store:
    """The store of the board with the configured objective. Raises CalibError if the user has no folder for it."""
    return Store(default_folder(), Owner(board_serial, config.focus.objective))


def play_name(axis: str) -> str:
    """Under what name the play of an axis, "x", "y" or "z", is stored."""
    return f"{axis}_play_um"


def use_calibration(board: MotorBoard, config: Config, without_damaged: bool = False) -> InUse:
    """Give each axis what was measured of it, unless the configuration decides it. Nothing moves.

    Returns what is used, with remarks for the user. `without_damaged`: measured optics whose file is gone or damaged
    are left out with a remark, for what does not focus by them.
    Raises CalibRefused for a store that is invalid, damaged or of another microscope, CalibError as `store_for`.
    """
    store = store_for(board.unit_serial, config)
    try:
        calibration = store.load()
    except CalibMissing:
        told = "calibration: none of this microscope; everything as configured. Run `parfocal calibrate all`."
        plays = tuple(_configured(axis) for axis in board.axes.values())
        return InUse(plays, (told,), View(config.camera.um_per_px))
    values = calibration.values()
    for name, axis in board.axes.items():
        if name not in config.calibration.keep_scale:
            _use_scale(axis, values.get(f"{name}_um_per_step"), store)
        if name not in config.calibration.keep_settle:
            _use_settle(axis, values.get(f"{name}_settle_s"), store)
        if name not in config.calibration.keep_rates:
            _use_rates(axis, values, store)
    plays, notes = _use_plays(board, config, values, store)
    used = [f"{play.axis} {shown(values[play_name(play.axis)])}" for play in plays if play.measured_at]
    if used:
        notes = (f"calibration {calibration.used}: play of {', '.join(used)}; {store.path}", *notes)
    others = _of_others(board, config, calibration)
    if others:
        notes = (*notes, f"calibration {calibration.used}: {', '.join(others)}")
    optics, correction, of_optics = optics_of(calibration, config, store, without_damaged)
    single, of_single = single_of(calibration, config, store, without_damaged)
    aim = aimed(calibration, config.focus.at_sharpest, optics, correction, single)
    return InUse(
        plays,
        (*notes, *of_optics, *of_single, *aim.notes),
        view_of(calibration, config),
        calibration.used,
        camera_of(calibration, config),
        optics,
        aim.correction,
        spacing_of(calibration, config),
        aim.above_sharpest_um,
        aim.single,
        flat_field_of(calibration, config, store),
        trigger_of(calibration, config, exposure_s_of(calibration, config)),
    )


def spacing_of(calibration: Calibration, config: Config) -> SpacingInUse | None:
    """Where the loop takes its shots, if that was measured and the user did not decide it."""
    z0, z1 = calibration.focus_z0_below_um, calibration.focus_z1_below_um
    if z0 is None or z1 is None or config.calibration.keep_spacing:
        return None
    return SpacingInUse(z0.value, z1.value)


def view_of(calibration: Calibration, config: Config) -> View:
    """How the picture lies on the stage: straight and with the configured pixel, if nobody measured it."""
    angle, mirrored = calibration.camera_angle_deg, calibration.camera_is_mirrored
    pixel = calibration.camera_um_per_px
    um_per_px, uncertainty = config.camera.um_per_px, 0.0
    if pixel is not None:
        um_per_px, uncertainty = pixel.value, pixel.uncertainty
    if angle is None or mirrored is None:
        return View(um_per_px, um_per_px_uncertainty=uncertainty)
    return View(um_per_px, angle.value, mirrored.value > 0.5, uncertainty)


def camera_of(calibration: Calibration, config: Config) -> CameraInUse:
    """What is used of the measured camera. An exposure that the user decided stays."""
    exposure, gamma, dark = (
        calibration.camera_exposure_s,
        calibration.camera_gamma,
        calibration.camera_dark_level,
    )
    is_bent = gamma is not None and abs(gamma.value - 1.0) > max(LINEAR_WITHIN, gamma.uncertainty)
    return CameraInUse(
        None if config.calibration.keep_exposure else _value(exposure),
        _value(calibration.camera_gain),
        _value(calibration.camera_white_balance),
        _value(gamma) if is_bent else None,
        _value(dark) or 0.0,
    )


def exposure_s_of(calibration: Calibration, config: Config) -> float:
    """The exposure that the camera is opened with, s: as measured, unless the user decided it."""
    return camera_of(calibration, config).exposure_s or config.camera.exposure_s


def flat_field_of(calibration: Calibration, config: Config, store: Store) -> FlatField | None:
    """The measured light over a frame.

    None if it was not measured with frames of the configured size, or its raw data are gone.
    """
    fall, camera = calibration.camera_falloff_share, config.camera
    if fall is None:
        return None
    try:
        found = msgspec.json.decode(store.path.with_name(fall.raw).read_bytes(), type=FlatField)
    except (OSError, msgspec.MsgspecError):
        return None
    is_grid = len(found.flat) > 1 and len({len(row) for row in found.flat} - {0, 1}) == 1
    if not is_grid or found.frame_px != (camera.width_px, camera.height_px):
        return None
    if config.calibration.keep_exposure:
        found = msgspec.structs.replace(found, lamp_duty=None)
    # Levels of a frame whose gamma is undone are not those that the camera gave.
    return (
        found if camera_of(calibration, config).gamma is None else msgspec.structs.replace(found, white=None)
    )


def _value(measured: Measured | None) -> float | None:
    return None if measured is None else measured.value


def is_contradicted(configured: float, measured: float, uncertainty: float) -> bool:
    """Whether a measurement rules the configured value out; `uncertainty` is half its 95 % interval.

    Where it does not, the configured one is better: a screw is cut more exactly than a camera measures.
    """
    return abs(configured - measured) > uncertainty


def _use_plays(
    board: MotorBoard, config: Config, values: dict[str, Measured], store: Store
) -> tuple[tuple[PlayInUse, ...], tuple[str, ...]]:
    plays, notes = [], []
    for name, axis in board.axes.items():
        measured = values.get(play_name(name))
        if measured is None:
            plays.append(_configured(axis))
        elif name in config.calibration.keep_play:
            plays.append(_configured(axis))
            notes += _doubts(axis, measured)
        else:
            with _refused_by_name(play_name(name), store):
                axis.use_play(measured.value)
            plays.append(PlayInUse(name, measured.value, measured.uncertainty, measured.measured_at))
    return tuple(plays), tuple(notes)


def _use_scale(axis: Axis, measured: Measured | None, store: Store) -> None:
    if measured is None:
        return
    if is_contradicted(axis.config.um_per_step, measured.value, measured.uncertainty):
        with _refused_by_name(f"{axis.name}_um_per_step", store):
            axis.use_scale(measured.value)


def _use_settle(axis: Axis, measured: Measured | None, store: Store) -> None:
    """The upper end of the interval: an exposure that begins too early is blurred, one too late is only later."""
    if measured is not None:
        with _refused_by_name(f"{axis.name}_settle_s", store):
            axis.use_settle(measured.interval[1])


def _use_rates(axis: Axis, values: dict[str, Measured], store: Store) -> None:
    """The fastest safe pair, if it was measured."""
    speed, accel = (values.get(f"{axis.name}_{key}") for key in ("speed_um_per_s", "accel_um_per_s2"))
    if speed is not None and accel is not None:
        with _refused_by_name(f"{axis.name}_speed_um_per_s", store):
            axis.use_rates(speed.value, accel.value)


def _of_others(board: MotorBoard, config: Config, calibration: Calibration) -> list[str]:
    """What else of stage and camera is used as it was measured, in words."""
    told, values = [], calibration.values()
    for name, axis in board.axes.items():
        scale = axis.config.um_per_step
        if scale != config.board.axis(name).um_per_step:
            told.append(f"{name} {scale:.5g} um per step")
        settle = values.get(f"{name}_settle_s")
        if settle is not None and name not in config.calibration.keep_settle:
            told.append(f"{name} at rest after {axis.config.settle_s:.3f} s")
        if f"{name}_speed_um_per_s" in values and name not in config.calibration.keep_rates:
            told.append(f"{name} at {axis.config.speed_um_per_s:.0f} um/s")
    gamma = camera_of(calibration, config).gamma
    if gamma is not None:
        told.append(f"camera's gamma of {gamma:.2f} undone")
    angle = values.get("camera_angle_deg")
    if angle is not None:
        told.append(f"camera turned by {round(angle.value, 1) + 0.0:+.1f} degrees")
    pixel = calibration.camera_um_per_px
    if pixel is not None and is_contradicted(config.camera.um_per_px, pixel.value, pixel.uncertainty):
        told.append(
            f"camera.um_per_px = {config.camera.um_per_px:g} is configured, but {pixel.value:.4f} +- "
            f"{pixel.uncertainty:.4f} was measured. Correct that key"
        )
    return told


def shown(measured: Measured) -> str:
    """A play in a few words: "19.9 +- 0.2 um of 2026-11-26"."""
    return f"{measured.value:.1f} +- {measured.uncertainty:.1f} um of {measured.measured_at:%Y-%m-%d}"


def is_too_small(play_um: float, measured: Measured) -> bool:
    """Whether the play of a configuration is less than what was measured."""
    return play_um < measured.interval[0]


def _configured(axis: Axis) -> PlayInUse:
    return PlayInUse(axis.name, axis.config.play_um)


def _doubts(axis: Axis, measured: Measured) -> list[str]:
    """A remark on play that the configuration decides, if it is too little."""
    configured_um = axis.config.play_um
    if not is_too_small(configured_um, measured):
        return []
    told = f"board.{axis.name}.play_um = {configured_um:g} is configured, but {shown(measured)} was measured"
    return [f"calibration: {told}. Remove that key."]


@contextlib.contextmanager
def _refused_by_name(name: str, store: Store) -> Iterator[None]:
    """Say which table of the store an axis refused."""
    try:
        yield
    except ValueError as error:
        raise CalibRefused(
            f"calibration {store.path} refused: {error} Remove [{name}] from that file."
        ) from error
