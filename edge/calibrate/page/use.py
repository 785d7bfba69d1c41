"""What is done with a measured value, in words."""

from parfocal.calib.store import Calibration
from parfocal.calib.value import Measured
from parfocal.edge.config import Config
from parfocal.edge.measured.calibration import camera_of, exposure_s_of, is_contradicted
from parfocal.edge.measured.optics_in_use import Which, why_not_used
from parfocal.edge.measured.trigger_in_use import trigger_of

SHOWN = "shown only"


def use_of(name: str, measured: Measured, calibration: Calibration, config: Config) -> str:
    """Whether the value `name` of `calibration` is used with this configuration, and how."""
    if name.startswith("camera_"):
        return _of_camera(name, calibration, config)
    if name.startswith("optics_"):
        return _of_optics(name, calibration, config, "optics")
    if name.startswith("single_"):
        return _of_optics(name, calibration, config, "single")
    if name.startswith("focus_"):
        return _of_loop(name, config)
    if name.startswith("lens_"):
        return _of_lens(name, config)
    if name.startswith("trigger_"):
        return _of_trigger(name, calibration, config)
    axis, _, key = name.partition("_")
    kept = {
        "play_um": config.calibration.keep_play,
        "um_per_step": config.calibration.keep_scale,
        "settle_s": config.calibration.keep_settle,
        "speed_um_per_s": config.calibration.keep_rates,
        "accel_um_per_s2": config.calibration.keep_rates,
    }.get(key)
    if kept is None:
        return SHOWN
    configured = getattr(config.board.axis(axis), key)
    if axis in kept:
        return f"not used: {configured:g} is configured"
    if key == "um_per_step" and not is_contradicted(configured, measured.value, measured.uncertainty):
        return f"{configured:g} as configured agrees and is used"
    return "used, the upper end" if key == "settle_s" else "used"


def _of_loop(name: str, config: Config) -> str:
    if name == "focus_above_sharpest_um":
        return (
            "removed: focus.at_sharpest"
            if config.focus.at_sharpest
            else "shown only; focus.at_sharpest = true removes it"
        )
    if not name.endswith("below_um"):
        return SHOWN
    if config.calibration.keep_spacing:
        return f"not used: {getattr(config.focus, name.removeprefix('focus_')):g} is configured"
    return "used"


def _of_lens(name: str, config: Config) -> str:
    if name == "lens_um_per_ma":
        return SHOWN
    if not config.lens.focuses:
        return "not used: lens.focuses is false"
    if name == "lens_settle_s" and config.lens.settle_s is not None:
        return f"not used: {config.lens.settle_s:g} is configured"
    return "its curve is used" if name == "lens_error_um" else "used, the upper end"


def _of_trigger(name: str, calibration: Calibration, config: Config) -> str:
    in_use = trigger_of(calibration, config, exposure_s_of(calibration, config))
    if in_use.remark is not None:
        return f"not used: {in_use.remark}"
    if name == "trigger_read_out_s":
        return SHOWN
    if in_use.measured_at is None:
        return f"not used: scan.flash_delay_s = {in_use.delay_s:g} is configured"
    return f"flashes of continuous scans {in_use}" if name == "trigger_delay_s" else "the longest flash"


def _of_optics(name: str, calibration: Calibration, config: Config, which: Which) -> str:
    if (why := why_not_used(calibration, config, which)) is not None:
        return f"not used: {why}"
    if which == "single" and calibration.single is not None and calibration.single.refused is not None:
        return f"the model is not used: {calibration.single.refused}"
    if name == "optics_sharpest_above_um":
        is_removed = config.focus.at_sharpest is False
        return (
            "removed: focus.at_sharpest = false"
            if is_removed
            else "shown only; focus.at_sharpest = false removes it"
        )
    return SHOWN if name.endswith("_error_um") else "corrects the model"


def _of_camera(name: str, calibration: Calibration, config: Config) -> str:
    if name == "camera_exposure_s" and config.calibration.keep_exposure:
        return f"not used: {config.camera.exposure_s:g} is configured"
    if name == "camera_gamma":
        return "linear: nothing to undo" if camera_of(calibration, config).gamma is None else "undone"
    uses = {
        "camera_exposure_s": "set whenever the camera is opened",
        "camera_gain": "locked",
        "camera_white_balance": "locked",
        "camera_falloff_share": "evens out the light of stitched slides",
        "camera_um_per_px": "scale of the stage, moves by pixels",
        "camera_angle_deg": "moves by pixels",
        "camera_is_mirrored": "moves by pixels",
    }
    return uses.get(name, SHOWN)
