"""Configuration of the instrument: TOML read into frozen structs. An unknown key is an error that names it."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from parfocal.board.axis import steps_from_um
from parfocal.board.config import AXIS_NAMES, BoardConfig, LensConfig
from parfocal.edge.config_keys import check_finite, check_keys, decoded_toml, in_toml_words
from parfocal.edge.errors import ConfigError
from parfocal.edge.objectives import CAMERA_OF, FOCUS_OF

Positive = Annotated[float, msgspec.Meta(gt=0.0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0.0)]
DEFAULT_CONFIG = Path("parfocal.toml")
MAX_FILE_BYTES = 1_000_000  # a stack or a model, given by mistake, is not read to its end

Count = Annotated[int, msgspec.Meta(ge=1)]
SidePx = Annotated[int, msgspec.Meta(ge=1, le=16384)]
FrameTime = Annotated[float, msgspec.Meta(gt=0.0, le=60.0)]


class CameraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The camera. `um_per_px` is the size of one of its pixels on the sample.

    `kind`: a V4L2 camera, read through OpenCV, a GStreamer pipeline, a USB3 Vision or GigE Vision camera through
    Aravis, or a camera that Micro-Manager drives.
    `device` is the number of the video device, or its path, serial number or part of its name; with Aravis the number
    of the camera, its id, serial number or address, or part of its name; with Micro-Manager a label of its
    configuration, or 0 for the camera that it names.
    `pipeline` is a GStreamer pipeline up to the frames, and `micromanager` the configuration file of Micro-Manager, for
    those kinds only. `trigger_line` is the camera's input that the board's trigger is wired to, such as "Line1", with
    Aravis only; without it the camera is never triggered.
    `frame_period_s` and `exposure_s` are those of its free run.
    """

    kind: Literal["v4l2", "gstreamer", "aravis", "micromanager"] = "v4l2"
    device: Annotated[int, msgspec.Meta(ge=0, le=255)] | Annotated[str, msgspec.Meta(min_length=1)] = 0
    width_px: SidePx = 1224
    height_px: SidePx = 1024
    um_per_px: Annotated[float, msgspec.Meta(gt=0.0, le=100.0)] = 0.345
    exposure_s: FrameTime = 0.008
    frame_period_s: FrameTime = 1.0 / 30.0
    pipeline: str = ""
    micromanager: str = ""
    trigger_line: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a pipeline or file without its kind, or a kind without its own."""
        if (self.kind == "gstreamer") != bool(self.pipeline):
            raise ValueError(
                f"kind = {self.kind!r} with pipeline = {self.pipeline!r}: kind = 'gstreamer' needs a pipeline such as "
                "'libcamerasrc', and no other kind has one"
            )
        if (self.kind == "micromanager") != bool(self.micromanager):
            raise ValueError(
                f"kind = {self.kind!r} with micromanager = {self.micromanager!r}: kind = 'micromanager' needs the "
                "configuration file of Micro-Manager, and no other kind has one"
            )
        if self.trigger_line and self.kind != "aravis":
            raise ValueError(
                f"kind = {self.kind!r} with trigger_line = {self.trigger_line!r}: only cameras of kind = 'aravis' are "
                "triggered"
            )

    @property
    def field_um(self) -> tuple[float, float]:
        """Width and height of a field on the sample, um."""
        return self.width_px * self.um_per_px, self.height_px * self.um_per_px


class FocusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model and the parameters of the focus rule, from dastidar2020 2.2.1 and 4.3 where the paper gives them.

    `threads` is how many CPU threads a prediction may use, 0 for every core. It applies until `parfocal engine build`
    has chosen an engine, which keeps the number it was built with (`--threads`).
    """

    model: str = "difference-20x"
    strategy: Literal["two-shot", "controller"] = "controller"
    # A single-shot model, "" for none.
    single_model: str = "single-20x"
    threads: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    objective: str = "20x/0.75"
    # Aperture of the condenser over that of the objective. Left out, the model's default.
    condenser: Annotated[float, msgspec.Meta(gt=0.0, le=2.0)] | None = None
    delta_um: Positive = 2.0  # dastidar2020 2.2.1, for this objective; 3 um at 40x
    patch_px: Count = 224
    downsample: Count = 1  # dastidar2020 4.3.3: 4 at 40x with a 13 Mpx camera
    z0_below_um: Positive = 22.0  # dastidar2020 4.3.2
    # dastidar2020 4.3.2: where the model predicts best. The paper's 8 um are for a model of +-25 um. With one of
    # +-10 um the second shot is 3 um below the pivot, so one estimate is enough for a pivot from 3.2 um above to
    # 1.8 um below the focus.
    z1_below_um: Positive = 5.0
    max_spread_um: Positive = 1.0  # dastidar2020 4.3.3
    # Whether an estimate must be believed, for a model that tells its uncertainty; false for the paper's rule alone.
    belief: bool = True
    # Whether the loop ends at the sharpest plane, or at that of least wavefront variance. Left out, where the model
    # ends: at the sharpest plane once its optics were calibrated, before at the other one.
    at_sharpest: bool | None = None
    # Whether a run follows a slow drift of the model since its calibration, within 10 % and 0.3 um.
    learn: bool = True
    # An estimate beyond this distance needs a second one. The default is the same share of the model's range as the
    # paper's 12 um of +-25 um (dastidar2020 4.3.3): 4.8 um for +-10 um.
    max_distance_um: Positive | None = None
    # Closer than this, the stage stays where it is: it is less than half the depth of field (0.8 um at NA 0.75), and
    # another approach costs a second pair of shots.
    in_focus_um: NotNegative = 0.25
    # How far beside its end a field is looked at, to prove the predictions: where it is visibly less sharp.
    proof_um: Positive = 2.0
    max_attempts: Count = 8  # each comes closer; from 30 um below the focus it takes 6
    # A patch with less contrast than this counts as blank, in grey levels: the standard deviation of the smoothed
    # second shot's grey values; see `is_blank` in edge/focus/picture/part.py.
    blank_contrast: NotNegative = 2.5
    # The final shot must reach this share of the sharpness of the shot at the pivot and of the attempt's own shots;
    # otherwise the prediction was wrong. 0.5 um out of focus costs a crisp texture about this much at NA 0.75.
    min_relative_sharpness: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.85
    recovery_reach_um: Positive = 24.0
    recovery_step_um: Positive = 2.0
    fine_reach_um: Positive = 1.875  # the coarse sweep, or the pivot, is closer to the focus than this
    fine_step_um: Positive = 0.625
    first_sweep_start_um: NotNegative = 2400.0
    first_sweep_stop_um: Positive = 2600.0
    first_sweep_step_um: Positive = 3.125

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid keys."""
        if self.z1_below_um >= self.z0_below_um:
            raise ValueError(
                f"z1_below_um = {self.z1_below_um} must be less than z0_below_um = {self.z0_below_um}"
            )
        if self.first_sweep_start_um >= self.first_sweep_stop_um:
            raise ValueError(
                f"first_sweep_start_um = {self.first_sweep_start_um} must lie below "
                f"first_sweep_stop_um = {self.first_sweep_stop_um}"
            )


class ScanConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the fields lie on the stage. `overlap` is the share of a field that neighbours have in common.

    For a continuous scan: `flash_brightness` is how many times brighter a flash at full duty is than the steady lamp at
    full duty, by an overdriven LED and the gain of the camera together. `flash_delay_s` is the time from the trigger
    until all lines of the camera expose.
    """

    origin_x_um: NotNegative = 20000.0
    origin_y_um: NotNegative = 10000.0
    overlap: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.05
    lamp_duty: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.6
    flash_brightness: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] = 1.0
    flash_delay_s: Annotated[float, msgspec.Meta(ge=0.0, le=0.1)] = 0.0001


class CalibrationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds although something else may have been measured.

    `keep_play`: axes whose `play_um` is the configured one. An axis whose `play_um` a file gives is among them.
    `keep_scale` and `keep_settle`: the same for `um_per_step` and `settle_s`. `keep_rates`: the same for
    `speed_um_per_s` and `accel_um_per_s2` together. `keep_exposure`: the exposure of the
    camera is the configured one, as it is where a file gives it. `keep_spacing`: the same for `focus.z0_below_um` and
    `focus.z1_below_um` together. `keep_flash_delay`: the same for `scan.flash_delay_s`.
    """

    keep_play: tuple[Literal["x", "y", "z"], ...] = ()
    keep_scale: tuple[Literal["x", "y", "z"], ...] = ()
    keep_settle: tuple[Literal["x", "y", "z"], ...] = ()
    keep_rates: tuple[Literal["x", "y", "z"], ...] = ()
    keep_exposure: bool = False
    keep_spacing: bool = False
    keep_flash_delay: bool = False


# What keeps keys of an axis as they are configured.
KEPT_KEYS = {
    "keep_play": ("play_um",),
    "keep_scale": ("um_per_step",),
    "keep_settle": ("settle_s",),
    "keep_rates": ("speed_um_per_s", "accel_um_per_s2"),
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole instrument."""

    board: BoardConfig = BoardConfig()
    camera: CameraConfig = CameraConfig()
    focus: FocusConfig = FocusConfig()
    scan: ScanConfig = ScanConfig()
    lens: LensConfig = LensConfig()
    calibration: CalibrationConfig = CalibrationConfig()

    def __post_init__(self) -> None:
        """Raises ValueError where Z cannot go as little as from one shot of a pair to the other."""
        delta_um, um_per_step = self.focus.delta_um, self.board.z.um_per_step
        is_always_the_lens = self.lens.focuses and self.lens.park_um is not None
        if not is_always_the_lens and steps_from_um(delta_um, um_per_step) == 0:
            raise ValueError(
                f"board.z.um_per_step = {um_per_step:g}: the two shots of a pair are to lie focus.delta_um = "
                f"{delta_um:g} um apart, which is half a step of Z or less, so both would be taken at one height; give "
                "Z a finer screw or more microsteps, or correct the key that is wrong"
            )


def config_from_toml(text: str, source: str) -> Config:
    """The defaults, overridden by the TOML in `text`. Raises ConfigError naming `source` and the key."""
    try:
        given = decoded_toml(text)
    except ValueError as error:
        raise ConfigError(f"invalid configuration {source}: {error}") from error
    except RecursionError as error:
        raise _too_deep(source) from error
    try:
        check_keys(given, Config)
        config = msgspec.convert(_merged(_defaults_for(given), given), Config)
        check_finite(config)
        config = _keeping_given(config, given)
    except RecursionError as error:
        raise _too_deep(source) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(
            f"invalid configuration {source}: {in_toml_words(str(error), Config)}. Correct that key."
        ) from error
    return config


def _too_deep(source: str) -> ConfigError:
    return ConfigError(f"invalid configuration {source}: it is nested too deeply. Remove some levels.")


def chosen_path(path: Path | None) -> Path | None:
    """The configuration file to read: `path`, else the one in this folder, else None."""
    return DEFAULT_CONFIG if path is None and DEFAULT_CONFIG.exists() else path


def config_from(source: Config | str | Path | None) -> Config:
    """A configuration as a program names it: itself, a path, or None for `parfocal.toml` here or the defaults.

    Raises ConfigError.
    """
    if isinstance(source, Config):
        return source
    chosen = chosen_path(None if source is None else Path(source))
    return Config() if chosen is None else config_from_file(chosen)


def config_from_file(path: Path) -> Config:
    """Read a TOML file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(
                f"configuration {path} cannot be read: it is larger than {MAX_FILE_BYTES:,} bytes. "
                "Give another path with --config."
            )
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"configuration {path} cannot be read: {why}. Give another path with --config."
        ) from error
    return config_from_toml(text, str(path))


def _keeping_given(config: Config, given: dict[str, Any]) -> Config:
    """The configuration, in which the keys of axes that the file gives are kept: the user decided them."""
    kept: dict[str, Any] = {
        keep: [
            name
            for name in AXIS_NAMES
            if name in getattr(config.calibration, keep) or set(keys) & set(_axis_of(given, name))
        ]
        for keep, keys in KEPT_KEYS.items()
    }
    kept["keep_exposure"] = config.calibration.keep_exposure or "exposure_s" in given.get("camera", {})
    spaced = {"z0_below_um", "z1_below_um"} & set(given.get("focus", {}))
    kept["keep_spacing"] = config.calibration.keep_spacing or bool(spaced)
    kept["keep_flash_delay"] = config.calibration.keep_flash_delay or "flash_delay_s" in given.get("scan", {})
    return msgspec.structs.replace(config, calibration=msgspec.convert(kept, CalibrationConfig))


def _defaults_for(given: dict[str, Any]) -> dict[str, Any]:
    """The defaults as they are for the objective of a decoded file."""
    focus = given.get("focus")
    objective = focus.get("objective") if isinstance(focus, dict) else None
    own = FOCUS_OF.get(objective, {}) if isinstance(objective, str) else {}
    defaults: dict[str, Any] = msgspec.to_builtins(Config())
    return _merged(defaults, {"focus": own})


def simulated_through(objective: str, config: Config) -> Config:
    """The configuration with an objective, the settings that go with it, and the camera of its paper.

    Raises ConfigError for an objective without a model, or one that does not go with the rest.
    """
    if objective not in FOCUS_OF:
        raise ConfigError(
            f"no two-shot model ships for objective {objective!r}, only for {', '.join(FOCUS_OF)}"
        )
    defaults = msgspec.to_builtins(Config())
    changed = {}
    for table, settings_of in (("focus", FOCUS_OF), ("camera", CAMERA_OF)):
        keys = {key for settings in settings_of.values() for key in settings}
        changed[table] = {key: defaults[table][key] for key in keys} | settings_of[objective]
    try:
        return msgspec.convert(_merged(msgspec.to_builtins(config), changed), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"the configuration does not go with objective {objective}: {in_toml_words(str(error), Config)}."
        ) from error


def _axis_of(given: dict[str, Any], name: str) -> dict[str, Any]:
    """The table of an axis in a decoded file whose keys were checked; empty if the file has none."""
    axis: dict[str, Any] = given.get("board", {}).get(name, {})
    return axis


def _merged(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`base` overridden by `given`, table by table. Unknown keys are kept; the conversion refuses them."""
    result = dict(base)
    for key, value in given.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
