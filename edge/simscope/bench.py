"""Builds simulated instruments: slide, optics, camera, and a stub board in virtual or real time."""

import contextlib
import errno
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from parfocal.board.clock import Clock, MonotonicClock
from parfocal.board.config import AXIS_NAMES
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.link.probe import Probed, probe
from parfocal.board.motor_board import MotorBoard
from parfocal.board.open import open_board, probe_foreign
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.foreign.text_bench import TextBench
from parfocal.board.stub.optics.tunable_lens import drawn_lens
from parfocal.board.stub.serving.side_channel import SideChannel, side_channel_path
from parfocal.board.stub.stage.true_stage import TrueStage
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import FieldTruth, Instrument, TruthAt, calibrated_camera
from parfocal.edge.measured.calibration import InUse, use_calibration
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.simscope.drift import DriftingStage
from parfocal.edge.simscope.held_clock import HeldClock
from parfocal.edge.simscope.lens import simulated_lens
from parfocal.edge.simscope.objectives import simulated_optics
from parfocal.edge.simscope.optics import FloatArray
from parfocal.edge.simscope.relief import FoldedSlide, Relief, ReliefName, points_um
from parfocal.edge.simscope.replay import RecordedStack
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide, image_from_file, unreadable_slide
from parfocal.edge.simscope.surface import FocusSurface
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.edge.stacks.listing import STACK_ENDINGS

SAMPLE_IMAGE_UM_PER_PX = 0.5  # of scikit-image's IHC image, estimated from the size of its nuclei
_TRIGGER_DELAY_S = 0.00004  # from trigger to exposure; of the order of industrial cameras' data sheets


class Sample(msgspec.Struct, frozen=True):
    """What is under the objective.

    `render(x_um, y_um, z_um, lamp_duty)` gives the image at a true position, RGB uint8 (h, w, 3);
    `focus_z_um(x_um, y_um)` gives the true height of the focus in the middle of a field. `focus_map_um(x_um, y_um)`
    gives it for each pixel of an uneven field, binned as the focus uses it, float32 (h, w), for tests and benches;
    None for even fields.
    """

    render: Render
    focus_z_um: Callable[[float, float], float]
    focus_map_um: Callable[[float, float], FloatArray] | None = None


def sample_image() -> UInt8Array:
    """The IHC image of scikit-image, real tissue. Raises ConfigError without the demo extra."""
    try:
        from skimage import data
    except ImportError as error:
        raise ConfigError(
            "the sample tissue comes with scikit-image, which is not installed. "
            "`pip install 'parfocal[demo]'`, or give an image with --slide."
        ) from error
    return np.asarray(data.immunohistochemistry(), np.uint8)


def sample_from(
    slide: Path | None,
    um_per_px: float | None,
    config: Config,
    seed: int,
    relief: ReliefName | None = None,
) -> Sample:
    """The sample of `--slide`: an image, a stack (a folder or an OME-TIFF), or the sample tissue where it is None.

    `um_per_px` is the sampling of the image. `relief` makes its fields uneven. Raises ConfigError where the slide
    cannot be used.
    """
    if slide is not None and not slide.exists():
        raise unreadable_slide(slide, os.strerror(errno.ENOENT))
    if slide is not None and (slide.is_dir() or slide.name.endswith(STACK_ENDINGS)):
        if relief is not None:
            raise ConfigError(
                f"a recorded stack has its own relief: leave out --relief {relief}, or give an image"
            )
        return _recorded(RecordedStack(slide), config, seed)
    if slide is not None and um_per_px is None:
        raise ConfigError(f"slide {slide} has no sampling: add --um-per-px, um on the sample per pixel")
    pixels = sample_image() if slide is None else image_from_file(slide)
    image = SlideImage(pixels, SAMPLE_IMAGE_UM_PER_PX if um_per_px is None else um_per_px)
    return (
        _imaged(image, config, seed) if relief is None else _uneven(image, config, seed, Relief(relief, seed))
    )


def _uneven(image: SlideImage, config: Config, seed: int, relief: Relief) -> Sample:
    """A slide with a relief inside its fields, about the same focal surface as without it."""
    scan = config.scan
    shape_px, um_per_px = _rendered(config)
    slide = FoldedSlide(image, um_per_px, seed, relief)
    scene = _scene(slide, config, seed)
    surface = FocusSurface(seed, scan.origin_x_um, scan.origin_y_um, _middle_um(config))
    # Raised as a whole, so that the focus at the origin stays where the first sweep looks for it.
    base_um = relief.at_um(scan.origin_x_um, scan.origin_y_um)

    def focus_map_um(x_um: float, y_um: float) -> FloatArray:
        heights_um = relief.heights_um(*points_um(x_um, y_um, shape_px, um_per_px))
        heights_um += np.float32(surface.z_um(x_um, y_um) - base_um)
        return heights_um

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        return scene.uneven_shot(
            x_um, y_um, np.float32(z_um) - focus_map_um(x_um, y_um), duty / scan.lamp_duty
        )

    def focus_z_um(x_um: float, y_um: float) -> float:
        return surface.z_um(x_um, y_um) - base_um + relief.at_um(x_um, y_um)

    return Sample(render, focus_z_um, focus_map_um)


def _imaged(image: SlideImage, config: Config, seed: int) -> Sample:
    scan = config.scan
    scene = _scene(VirtualSlide(image, _rendered(config)[1], seed), config, seed)
    surface = FocusSurface(seed, scan.origin_x_um, scan.origin_y_um, _middle_um(config))

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        return scene.shot(x_um, y_um, z_um - surface.z_um(x_um, y_um), duty / scan.lamp_duty)

    return Sample(render, surface.z_um)


def _rendered(config: Config) -> tuple[tuple[int, int], float]:
    """Shape (h, w) and sampling of the picture that a camera's frames show, binned as the focus uses them.

    Raises ConfigError if the camera is not a whole number of bins wide and high.
    """
    camera, binned = config.camera, config.focus.downsample
    if camera.height_px % binned or camera.width_px % binned:
        raise ConfigError(
            f"a simulated camera of {camera.width_px} x {camera.height_px} px cannot be binned {binned} times: set "
            f"camera.width_px and camera.height_px to multiples of {binned}"
        )
    return (camera.height_px // binned, camera.width_px // binned), camera.um_per_px * binned


def _scene(slide: VirtualSlide, config: Config, seed: int) -> Scene:
    shape_px, um_per_px = _rendered(config)
    optics = simulated_optics(config.focus.objective, um_per_px)
    return Scene(slide, optics, shape_px, seed, config.focus.downsample)


def _recorded(stack: RecordedStack, config: Config, seed: int) -> Sample:
    """A stack whose focus lies in the middle of the first sweep, at every position of the stage.

    A camera never gives the same picture twice, so each shot of a plane differs from it by up to one grey level.
    """
    camera = config.camera
    if stack.shape_px != (camera.height_px, camera.width_px):
        raise ConfigError(
            f"the stack's planes are {stack.shape_px[1]} x {stack.shape_px[0]} px, the camera's frames "
            f"{camera.width_px} x {camera.height_px}; nothing moved. Set camera.width_px and camera.height_px."
        )
    rng = np.random.default_rng([seed, 32])
    lift_um = _middle_um(config) - stack.focus_z_um

    def render(_x_um: float, _y_um: float, z_um: float, duty: float) -> UInt8Array:
        light = min(1.0, duty / config.scan.lamp_duty)
        dimmed = (
            stack.nearest(z_um - lift_um) * np.float32(light)
            + rng.integers(-1, 2, stack.shape_px, np.int8)[..., None]
        )
        shot: UInt8Array = dimmed.clip(0.0, 255.0).astype(np.uint8)
        return shot

    return Sample(render, lambda _x_um, _y_um: _middle_um(config))


def _middle_um(config: Config) -> float:
    return (config.focus.first_sweep_start_um + config.focus.first_sweep_stop_um) / 2.0


def stub_of(config: Config, seed: int, z_play_um: float | None = None) -> StubConfig:
    """A stub of the paper's stage, with the configured play of each axis.

    `z_play_um` is the true play of the Z gear where it differs from the configured one. Other mechanics make another
    board, with a serial number and a calibration of its own.
    """
    axes = {}
    for name in AXIS_NAMES:
        play_um = getattr(config.board, name).play_um
        if name == "z" and z_play_um is not None:
            play_um = z_play_um
        axes[name] = msgspec.structs.replace(getattr(StubConfig(), name), play_um=play_um)
    return StubConfig(**axes, seed=seed, unit_serial=zlib.crc32(msgspec.json.encode(axes)))


def virtual_bench(config: Config, stub: StubConfig) -> VirtualBench | TextBench:
    """A stub in virtual time, of the kind of board that is configured. Raises ConfigError where there is none."""
    if config.board.kind == "micromanager":
        raise ConfigError(
            "--sim simulates boards, and board.kind is 'micromanager'. Leave out --sim, and load Micro-Manager's demo "
            "devices by board.micromanager; or use a configuration without board.kind."
        )
    return VirtualBench(stub) if config.board.kind == "parfocal" else TextBench(config.board, stub)


def probed_stub(config: Config) -> Probed | Recognised:
    """What a stub in virtual time, with the configured mechanics, reports about itself."""
    bench = virtual_bench(config, stub_of(config, seed=1))
    if isinstance(bench, VirtualBench):
        return probe(bench.transport, bench.clock)
    return probe_foreign(bench.cable(), bench.clock, config.board, bench.memory)


@contextlib.contextmanager
def in_virtual_time(
    sample: Sample,
    config: Config,
    stub: StubConfig,
    drift_um_per_s: float = 0.0,
    without_damaged: bool = False,
) -> Iterator[Instrument]:
    """Board, camera and clock in virtual time: deterministic, and as fast as images are rendered.

    The focus rises by `drift_um_per_s` from the opening on. `without_damaged`: as `use_calibration` takes it.
    """
    bench = virtual_bench(config, stub)
    with contextlib.ExitStack() as opened:
        board = opened.enter_context(bench.open_board(config.board))
        if not board.capabilities.has_homing:  # somebody has looked where the stage stands
            board.declare(*_within_limits(board, bench.true_um(bench.clock.now_s())))
        in_use = use_calibration(board, config, without_damaged)
        lens, seen = opened.enter_context(
            simulated_lens(config.lens, drawn_lens(stub.seed), bench, board, bench)
        )
        stage = _drifting(seen, bench.clock, drift_um_per_s)
        camera = SimulatedCamera(stage, bench.clock, config.camera, _lit(sample.render, board, config))
        truth_at = _truth_at(sample, stage, bench.clock.now_s)
        triggered = None
        if not isinstance(bench, TextBench):
            brightness = config.scan.flash_brightness
            triggered = TriggeredCamera(
                camera, bench, bench.clock, config.camera, sample.render, brightness, _TRIGGER_DELAY_S
            )
        yield msgspec.structs.replace(
            _simulated(board, camera, bench.clock, truth_at, in_use),
            triggered=triggered,
            trigger=in_use.trigger,
            lens=lens,
        )


@contextlib.contextmanager
def at_stub(
    sample: Sample, config: Config, drift_um_per_s: float = 0.0, without_damaged: bool = False
) -> Iterator[Instrument]:
    """The board at the configured port, which must be a stub's pseudo-terminal with its side channel.

    `without_damaged`: as `use_calibration` takes it.
    Raises BoardNotFound where no stub is found, ConfigError for a configured lens.
    """
    if config.lens.kind != "none":
        raise ConfigError(
            "a lens is simulated in virtual time only: leave out --port, or set lens.kind to 'none'"
        )
    clock = HeldClock(MonotonicClock())
    with open_board(config.board, clock) as board:
        channel = SideChannel(side_channel_path(config.board.port))
        with contextlib.closing(channel):
            stage = _drifting(_HeldStage(channel, clock), clock, drift_um_per_s)

            def render(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
                with clock.held():
                    return sample.render(x_um, y_um, z_um, duty)

            if not board.capabilities.has_homing:
                board.declare(*_within_limits(board, stage.true_um(clock.now_s())))
            camera = SimulatedCamera(stage, clock, config.camera, _lit(render, board, config))
            in_use = use_calibration(board, config, without_damaged)
            truth_at = _truth_at(sample, stage, clock.now_s)
            yield _simulated(board, camera, clock, truth_at, in_use)


def _simulated(
    board: MotorBoard, camera: SimulatedCamera, clock: Clock, truth_at: TruthAt, in_use: InUse
) -> Instrument:
    calibrated = calibrated_camera(camera, in_use.camera)
    return Instrument(
        board,
        calibrated,
        clock,
        truth_at,
        True,
        in_use.notes,
        in_use.plays,
        in_use.calibration,
        in_use.view,
        in_use.optics,
        in_use.correction,
        in_use.spacing,
        in_use.above_sharpest_um,
        in_use.single,
        in_use.flat_field,
    )


def _lit(render: Render, board: MotorBoard, config: Config) -> Render:
    """What is seen by the lamp of the board, or by the light that its user turns on by hand where it has none."""
    if board.capabilities.has_lamp:
        return render
    return lambda x_um, y_um, z_um, _duty: render(x_um, y_um, z_um, config.scan.lamp_duty)


def _within_limits(board: MotorBoard, stage_um: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (
        min(max(at_um, axis.config.min_um), axis.config.highest_um)
        for at_um, axis in zip(stage_um, board.axes.values(), strict=True)
    )
    return x, y, z


def _drifting(stage: TrueStage, clock: Clock, drift_um_per_s: float) -> TrueStage:
    """The stage, under a sample whose focus rises by `drift_um_per_s` from now on."""
    return (
        DriftingStage(stage, clock.now_s(), lambda time_s: drift_um_per_s * time_s)
        if drift_um_per_s
        else stage
    )


class _HeldStage:
    """The side channel of the stub, by the microscope's time."""

    def __init__(self, stage: TrueStage, clock: HeldClock) -> None:
        self._stage, self._clock = stage, clock

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        with _of_one_speed():
            return self._stage.true_um(self._clock.shared_s(time_s))

    def lamp_duty(self, time_s: float) -> float:
        with _of_one_speed():
            return self._stage.lamp_duty(self._clock.shared_s(time_s))


@contextlib.contextmanager
def _of_one_speed() -> Iterator[None]:
    """Say what to do where the stub does not know its stage at a moment of this program. Raises ConfigError."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(
            "the stub does not know where its stage was when a frame was exposed: its time goes at another speed. "
            "Start `parfocal stub` without --speed."
        ) from error


def _truth_at(sample: Sample, stage: TrueStage, now_s: Callable[[], float]) -> TruthAt:
    def truth_at(_x_um: float, _y_um: float, time_s: float | None = None, /) -> FieldTruth:
        # The surface at the true position: play in X and Y shifts the field a little.
        x_um, y_um, z_um = stage.true_um(now_s() if time_s is None else time_s)
        return FieldTruth(sample.focus_z_um(x_um, y_um), z_um)

    return truth_at
