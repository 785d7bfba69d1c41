"""ONNX to a serialized TensorRT engine, by what the installed TensorRT offers, never by its version.

Where a network can be typed, from TensorRT 10 on, the precision is in the types of the ONNX. Up to 10 there are flags
as well (weak typing of an FP32 ONNX), from 11 on no more (facts/tensorrt.md). They are used where there is nothing
else, on 8.6 and for implicit INT8: a flag lets TensorRT put the spectra of a patch into float16, too, whose range they
exceed (9e4 on a golden patch of `single-20x`), where the typed ONNX keeps them float32.
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
from parfocal.engines.model.artifacts import Form
from parfocal.engines.progress import Report

BUILDER_VERSION: Final = 2
WORKSPACE_MIB: Final = 512  # an Orin Nano has 4 or 8 GB for everything; these nets need a tenth of it
MIB: Final = 2**20
LOG_LINES: Final = 3  # that go into an error's text


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: `batches` are the static profiles, one for each batch size."""

    precision: Precision
    int8_mode: Int8Mode
    batches: tuple[int, ...]


class Built(msgspec.Struct, frozen=True):
    """A serialized engine, and what the builder learned about the device's kernels meanwhile."""

    engine: bytes
    timing_cache: bytes


@dataclass(frozen=True)
class Calibration:
    """What implicit INT8 is calibrated with: prepared patches (m, 3, h, w), and memory on the device."""

    patches: NDArray[np.float32]
    memory: CudaMemory


class BuilderLog:
    """What TensorRT said in warnings and errors since `clear`; it knows one logger for each process."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def clear(self) -> None:
        """Forget what was said."""
        self.lines.clear()

    def tail(self) -> str:
        """Return the last lines as one."""
        return "; ".join(" ".join(line.split()) for line in self.lines[-LOG_LINES:]) or "nothing"


def import_tensorrt() -> ModuleType:
    """Import TensorRT; the driver must have been probed.

    Raises:
        BuildFailed: it is not there.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise BuildFailed(
            f"use of TensorRT failed: it cannot be imported ({one_line(error)}). On a Jetson it comes with JetPack, "
            "and an environment sees it that was made with --system-site-packages (in a checkout: `make clean engine`)."
        ) from error
    module: ModuleType = tensorrt
    return module


@functools.cache
def logger_of(trt: ModuleType) -> tuple[Any, BuilderLog]:
    """Return the logger for this process and where its warnings and errors go."""
    log = BuilderLog()

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]  # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401 (a class of TensorRT)
            if severity in (trt.ILogger.WARNING, trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                log.lines.append(msg)

    return Logger(), log


def has_precision_flags(trt: ModuleType) -> bool:
    """Whether precisions can be asked for by flags."""
    return "FP16" in trt.BuilderFlag.__members__ and "INT8" in trt.BuilderFlag.__members__


def takes_types(trt: ModuleType) -> bool:
    """Whether a network can have the types of its ONNX."""
    return "STRONGLY_TYPED" in trt.NetworkDefinitionCreationFlag.__members__ or not has_precision_flags(trt)


def form_of(trt: ModuleType, precision: Precision, int8_mode: Int8Mode) -> Form:
    """Return the artifact to build of.

    Raises:
        BuildFailed: this TensorRT does not offer that precision or mode.
    """
    if precision == "bf16":
        raise BuildFailed("build in bf16 refused: TensorRT engines are fp32, fp16 or int8. Name one of them.")
    if int8_mode == "implicit" and not (has_precision_flags(trt) and hasattr(trt, "IInt8EntropyCalibrator2")):
        raise BuildFailed(
            f"build in int8 with implicit quantisation refused: TensorRT {trt.__version__} has no calibrator any "
            "more. Use `--int8-mode explicit`."
        )
    if precision == "fp32" or int8_mode == "implicit":
        return "fp32"
    if precision == "fp16":
        return "fp16" if takes_types(trt) else "fp32"
    return "int8_qdq_fp16" if takes_types(trt) else "int8_qdq"


def build_engine(
    trt: ModuleType,
    onnx: bytes,
    recipe: Recipe,
    *,
    timing_cache: bytes = b"",
    calibration: Calibration | None = None,
    report: Report = lambda _: None,
) -> Built:
    """Build an engine, in a minute or so on a Jetson.

    Args:
        trt: the tensorrt module.
        onnx: content of the artifact that `form_of` names.
        recipe: what to build.
        timing_cache: of an earlier build on this device, b"" for none.
        calibration: for implicit INT8.
        report: told of the progress, a few words at a time.

    Raises:
        BuildFailed: the ONNX is refused, or no engine comes of it; says what TensorRT said.
    """
    _, log = logger_of(trt)
    log.clear()
    try:
        with warnings.catch_warnings():
            # From 10.12 on the flags are deprecated, elsewhere the timing cache: known, and asked by presence.
            warnings.simplefilter("ignore", DeprecationWarning)
            return _built(trt, onnx, recipe, timing_cache, calibration, report)
    except (RuntimeError, TypeError) as error:  # what pybind11 makes of a C++ exception or a null pointer
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
        monitor = _progress_monitor(trt, report)  # a name of its own: the builder does not keep it alive
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
    return BuildFailed(f"{failed} Try another precision, or export the model again.")


def _is_typed(trt: ModuleType, recipe: Recipe) -> bool:
    """Whether the ONNX of a recipe says what precision each layer has."""
    return form_of(trt, recipe.precision, recipe.int8_mode) in ("fp16", "int8_qdq_fp16")


def _network_flags(trt: ModuleType, recipe: Recipe) -> int:
    """8.6 must be told that the batch is a dimension; from 10 on that is the only way, in 11 the flag is gone."""
    flags = trt.NetworkDefinitionCreationFlag.__members__
    wanted = "STRONGLY_TYPED" if _is_typed(trt, recipe) or not has_precision_flags(trt) else "EXPLICIT_BATCH"
    return 1 << int(flags[wanted]) if wanted in flags else 0


def _parse(trt: ModuleType, network: Any, logger: Any, onnx: bytes, log: BuilderLog) -> None:  # noqa: ANN401
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        said = "; ".join(one_line(parser.get_error(i).desc()) for i in range(parser.num_errors)) or log.tail()
        raise BuildFailed(
            f"build failed: the ONNX parser of TensorRT {trt.__version__} says: {said}. "
            "Export the model again with the programs in tools/, or take an intact copy."
        )


def _add_profiles(builder: Any, network: Any, config: Any, batches: tuple[int, ...]) -> list[Any]:  # noqa: ANN401
    """One static profile for each batch size: kernels are chosen for exactly that."""
    model_input = network.get_input(0)
    if model_input is None:
        raise BuildFailed("build failed: the ONNX has no input. Export it again, or take an intact copy.")
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
        return  # the types of the ONNX say it all
    if recipe.precision == "int8":
        config.set_flag(trt.BuilderFlag.INT8)
    if recipe.precision == "fp16" or recipe.int8_mode == "explicit":
        # Explicit INT8 falls back to it, layer by layer; implicit to FP32.
        config.set_flag(trt.BuilderFlag.FP16)


def _calibrator(trt: ModuleType, calibration: Calibration, batch: int) -> Any:  # noqa: ANN401
    """Feed prepared patches to TensorRT's own calibration, a batch at a time."""
    patches, memory = calibration.patches, calibration.memory
    n_batches = len(patches) // batch
    if n_batches == 0:
        raise BuildFailed(
            f"build in int8 failed: {len(patches)} calibration patches are not one batch of {batch}."
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
            return None  # the engine itself is what is kept

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
