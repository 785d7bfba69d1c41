"""From ONNX to a serialized TensorRT engine. Depends on what the installed TensorRT offers, never on its version.

From TensorRT 10 on a network can be strongly typed: the types in the ONNX file set the precision. Precision flags exist
up to TensorRT 10. They are used only where there is no other way: on 8.6, and for
implicit INT8. With a flag TensorRT may also compute the spectra of a patch in float16, whose range they exceed (9e4 on
a golden patch of `single-20x`); the typed file keeps them in float32.
"""

import functools
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, OutOfMemory, one_line
from parfocal.engines.gpu.cuda_memory import CudaMemory
from parfocal.engines.key import Int8Mode, Precision
from parfocal.engines.model.forms import Form
from parfocal.engines.progress import Report

BUILDER_VERSION: Final = 2
WORKSPACE_MIB: Final = 512  # an Orin Nano has 4 or 8 GB in all; these nets need a tenth of this
MIB: Final = 2**20
LOG_LINES: Final = 3  # quoted in an error


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to build. `batches` gives one static profile per batch size."""

    precision: Precision
    int8_mode: Int8Mode
    batches: tuple[int, ...]


class Built(msgspec.Struct, frozen=True):
    """A serialized engine, and the timings of the kernels on this device, for the next build."""

    engine: bytes
    timing_cache: bytes


@dataclass(frozen=True)
class Calibration:
    """Input for the calibration of implicit INT8: normalised patches (m, 3, h, w), and memory on the device."""

    patches: NDArray[np.float32]
    memory: CudaMemory


class BuilderLog:
    """The warnings and errors of TensorRT since `clear`. TensorRT has one logger per process."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def clear(self) -> None:
        """Forget all lines."""
        self.lines.clear()

    def tail(self) -> str:
        """Return the last lines, joined to one."""
        return "; ".join(" ".join(line.split()) for line in self.lines[-LOG_LINES:]) or "nothing"


def import_tensorrt() -> ModuleType:
    """Import TensorRT. Call `probe` first.

    Raises:
        BuildFailed: TensorRT is not installed.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise BuildFailed(
            f"use of TensorRT failed: it cannot be imported ({one_line(error)}). On a Jetson it comes with "
            "JetPack; make the environment with --system-site-packages (in a checkout: `make clean engine`)."
        ) from error
    module: ModuleType = tensorrt
    return module


@functools.cache
def logger_of(trt: ModuleType) -> tuple[Any, BuilderLog]:
    """Return the TensorRT logger of this process, and the log of its warnings and errors."""
    log = BuilderLog()

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401 (a class of TensorRT)
            if severity in (trt.ILogger.WARNING, trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                log.lines.append(msg)

    return Logger(), log


def has_precision_flags(trt: ModuleType) -> bool:
    """Whether the builder has flags for precisions."""
    return "FP16" in trt.BuilderFlag.__members__ and "INT8" in trt.BuilderFlag.__members__


def has_strong_typing(trt: ModuleType) -> bool:
    """Whether a network can take its types from the ONNX file."""
    return "STRONGLY_TYPED" in trt.NetworkDefinitionCreationFlag.__members__ or not has_precision_flags(trt)


def form_of(trt: ModuleType, precision: Precision, int8_mode: Int8Mode) -> Form:
    """Return the form of the model to build from.

    Raises:
        BuildFailed: this TensorRT does not offer the precision or mode.
    """
    if precision == "bf16":
        raise BuildFailed("build in bf16 refused: TensorRT engines are fp32, fp16 or int8. Name one of them.")
    if int8_mode == "implicit" and not (has_precision_flags(trt) and hasattr(trt, "IInt8EntropyCalibrator2")):
        raise BuildFailed(
            f"build in int8 with implicit quantisation refused: TensorRT {trt.__version__} no longer has a "
            "calibrator. Use `--int8-mode explicit`."
        )
    if precision == "fp32" or int8_mode == "implicit":
        return "fp32"
    if precision == "fp16":
        return "fp16" if has_strong_typing(trt) else "fp32"
    return "int8_qdq_fp16" if has_strong_typing(trt) else "int8_qdq"


def build_engine(
    trt: ModuleType,
    onnx: bytes,
    recipe: Recipe,
    *,
    timing_cache: bytes = b"",
    calibration: Calibration | None = None,
    report: Report = lambda _: None,
) -> Built:
    """Build an engine, in about a minute on a Jetson.

    Args:
        trt: the `tensorrt` module.
        onnx: content of the form that `form_of` names.
        recipe: what to build.
        timing_cache: timing cache of an earlier build on this device, b"" for none.
        calibration: for implicit INT8.
        report: called with the progress, a few words at a time.

    Raises:
        BuildFailed: the ONNX file is refused, or the build failed; quotes TensorRT.
    """
    _, log = logger_of(trt)
    log.clear()
    try:
        with warnings.catch_warnings():
            # Deprecated from 10.12 on: the flags; elsewhere the timing cache. Both are used only where they exist.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _built(trt, onnx, recipe, timing_cache, calibration, report)
    except (RuntimeError, TypeError) as error:  # how pybind11 reports a C++ exception or a null pointer
        raise _failure(trt, recipe, f"{one_line(error)}; {log.tail()}") from error


def _built(
    trt: ModuleType,
    onnx: bytes,
    recipe: Recipe,
    timing_cache: bytes,
    calibration: Calibration | None,
    report: Report,
) -> Built:
    logger, log = logger_of(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(_network_flags(trt, recipe))
    _parse(trt, network, logger, onnx, log)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_MIB * MIB)
    profiles = _add_profiles(builder, network, config, recipe.batches)
    _set_precision(trt, config, recipe)
    if recipe.int8_mode == "implicit":
        if calibration is None:
            raise ValueError("implicit INT8 needs a calibration")
        calibrator = _calibrator(trt, calibration, recipe.batches[0])
        config.int8_calibrator = calibrator
        config.set_calibration_profile(profiles[0])
    if hasattr(trt, "IProgressMonitor"):
        monitor = _progress_monitor(trt, report)  # keep a reference: the builder does not
        config.progress_monitor = monitor
    cache = config.create_timing_cache(timing_cache)
    config.set_timing_cache(cache, ignore_mismatch=False)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise _failure(trt, recipe, log.tail())
    return Built(bytes(serialized), bytes(cache.serialize()))


def _failure(trt: ModuleType, recipe: Recipe, said: str) -> BuildFailed:
    failed = f"build in {recipe.precision} failed: TensorRT {trt.__version__} says: {said}."
    if "outofmemory" in said.lower().replace(" ", ""):
        return OutOfMemory(f"{failed} Close other programs on the device, then build again.")
    return BuildFailed(f"{failed} Use another precision, or export the model again.")


def _is_typed(trt: ModuleType, recipe: Recipe) -> bool:
    """Whether the ONNX file for a recipe sets the precision of each layer."""
    return form_of(trt, recipe.precision, recipe.int8_mode) in ("fp16", "int8_qdq_fp16")


def _network_flags(trt: ModuleType, recipe: Recipe) -> int:
    """Return the flags of a network. 8.6 needs EXPLICIT_BATCH; 10 always behaves so, and 11 removed the flag."""
    flags = trt.NetworkDefinitionCreationFlag.__members__
    wanted = "STRONGLY_TYPED" if _is_typed(trt, recipe) or not has_precision_flags(trt) else "EXPLICIT_BATCH"
    return 1 << int(flags[wanted]) if wanted in flags else 0


def _parse(trt: ModuleType, network: Any, logger: Any, onnx: bytes, log: BuilderLog) -> None:  # noqa: ANN401
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        said = "; ".join(one_line(parser.get_error(i).desc()) for i in range(parser.num_errors)) or log.tail()
        raise BuildFailed(
            f"build failed: the ONNX parser of TensorRT {trt.__version__} says: {said}. "
            "Export the model again with the programs in tools/, or use an intact copy."
        )


def _add_profiles(builder: Any, network: Any, config: Any, batches: tuple[int, ...]) -> list[Any]:  # noqa: ANN401
    """Add one static profile per batch size, so that TensorRT chooses kernels for exactly that size."""
    model_input = network.get_input(0)
    if model_input is None:
        raise BuildFailed("build failed: the ONNX file has no input. Export it again, or use an intact copy.")
    patch = tuple(model_input.shape)[1:]
    profiles = []
    for batch in batches:
        profile = builder.create_optimization_profile()
        shape = (batch, *patch)
        profile.set_shape(model_input.name, shape, shape, shape)
        config.add_optimization_profile(profile)
        profiles.append(profile)
    return profiles


def _set_precision(trt: ModuleType, config: Any, recipe: Recipe) -> None:  # noqa: ANN401
    if not has_precision_flags(trt) or _is_typed(trt, recipe):
        return  # the types in the ONNX file set the precision
    if recipe.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
    if recipe.precision == "fp16" or recipe.int8_mode == "explicit":
        # Explicit INT8 falls back to FP16 layer by layer; implicit INT8 falls back to FP32.
        config.set_flag(trt.BuilderFlag.FP16)


def _calibrator(trt: ModuleType, calibration: Calibration, batch: int) -> Any:  # noqa: ANN401
    """Return a TensorRT calibrator that feeds it the patches, a batch at a time."""
    patches, memory = calibration.patches, calibration.memory
    n_batches = len(patches) // batch
    if n_batches == 0:
        raise BuildFailed(
            f"build in int8 failed: {len(patches)} calibration patches do not fill one batch of {batch}. "
            "Run `python -m tools.export` with more stacks in --data, or use `--int8-mode explicit`."
        )
    with memory.current():
        buffer = memory.buffer((batch, *patches.shape[1:]), np.float32)

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]  # known at run time only
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)
            self.n_fed = 0

        def get_batch_size(self) -> int:
            return batch

        def get_batch(self, names: list[str]) -> list[int] | None:  # noqa: ARG002 (TensorRT's signature)
            if self.n_fed == n_batches:
                return None
            buffer.host[...] = patches[self.n_fed * batch : (self.n_fed + 1) * batch]
            with memory.current():
                memory.upload(buffer)
                memory.synchronize()
            self.n_fed += 1
            return [buffer.address]

        def read_calibration_cache(self) -> bytes | None:
            return None  # the engine is cached instead

        def write_calibration_cache(self, cache: bytes) -> None:
            del cache

    return Calibrator()


def _progress_monitor(trt: ModuleType, report: Report) -> Any:  # noqa: ANN401
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]  # known at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.n_steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
            self.n_steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            report(f"{phase_name} {step + 1}/{self.n_steps.get(phase_name, 0)}")
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.n_steps.pop(phase_name, None)

    return Monitor()
