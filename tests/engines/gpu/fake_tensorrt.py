"""A stand-in for tensorrt of a given generation. Tests compare it with the real bindings.

Its engines are JSON. Its one kernel computes `10 * mean` of each patch, and multiples of it as further outputs. It
records what was requested. It does not model layers, precision or time.
"""

import enum
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.engines.gpu.fake_cuda import STREAM_HANDLE, FakeCuda

VERSIONS = {"10.3": "10.3.0", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}
WEAK = ("10.3", "10.16")
Shape = tuple[int, ...]


class FakeTensorRt(ModuleType):
    """The module. Tests set what fails, and read what was requested.

    Attributes:
        device: name of the device; engines built on another device are refused.
        parse_error: error of the parser; None if it accepts the model.
        build_error: error of the builder; None if the build succeeds.
        flags, profiles, network_flags, onnx, calibrated, timing: the arguments of the last build.
    """

    def __init__(self, generation: str, cuda: FakeCuda, output_name: str = "distance_um") -> None:
        super().__init__("tensorrt")
        self.__version__ = VERSIONS[generation]
        self.cuda = cuda
        self.device = "Orin"
        self.parse_error: str | None = None
        self.build_error: str | None = None
        self.no_context = False
        self.can_enqueue = True
        self.n_builds = 0
        self.input_name, self.output_name = "difference", output_name
        self.patch_px = 32
        self.n_outputs = 1
        self.flags: list[str] = []
        self.profiles: list[Shape] = []
        self.network_flags = -1
        self.onnx = b""
        self.calibrated: list[list[int]] = []
        self.timing = b""
        _add_enums(self, generation)
        _add_builder(self, generation)
        _add_runtime(self)


def _enumeration(name: str, members: dict[str, int]) -> Any:  # noqa: ANN401
    return enum.IntEnum(name, list(members.items()))


def _add_enums(trt: Any, generation: str) -> None:  # noqa: ANN401, C901 (one class after another)
    weak = generation in WEAK
    builder_flags = ["FP16", "INT8", "TF32"] if weak else ["DEBUG", "TF32"]
    network_flags = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if weak else {"STRONGLY_TYPED": 1}
    for name, members in (
        ("BuilderFlag", builder_flags),
        ("MemoryPoolType", ["WORKSPACE"]),
        ("TensorIOMode", ["NONE", "INPUT", "OUTPUT"]),
        ("DataType", ["FLOAT", "HALF", "INT8"]),
    ):
        setattr(trt, name, _enumeration(name, dict(zip(members, range(len(members)), strict=True))))
    trt.NetworkDefinitionCreationFlag = _enumeration("NetworkDefinitionCreationFlag", network_flags)

    class ILogger:
        WARNING, ERROR, INTERNAL_ERROR, INFO = "warning", "error", "internal error", "info"

        def log(self, severity: str, msg: str) -> None: ...

    trt.ILogger = ILogger
    if weak:

        class IInt8EntropyCalibrator2:
            def get_batch_size(self) -> int: ...  # type: ignore[empty-body]
            def get_batch(self, names: list[str]) -> list[int] | None: ...
            def read_calibration_cache(self) -> bytes | None: ...
            def write_calibration_cache(self, cache: bytes) -> None: ...

        trt.IInt8EntropyCalibrator2 = IInt8EntropyCalibrator2

    class IProgressMonitor:
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
        def step_complete(self, phase_name: str, step: int) -> bool: ...  # type: ignore[empty-body]
        def phase_finish(self, phase_name: str) -> None: ...

    trt.IProgressMonitor = IProgressMonitor


def _add_builder(trt: Any, generation: str) -> None:  # noqa: ANN401, C901 (one class after another)
    class ITensor:
        @property
        def name(self) -> str:
            return str(trt.input_name)

        @property
        def shape(self) -> Shape:
            return (-1, 3, trt.patch_px, trt.patch_px)

    class INetworkDefinition:
        def get_input(self, index: int) -> ITensor:
            assert index == 0
            return ITensor()

    class ParserError:
        def desc(self) -> str:
            return str(trt.parse_error)

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: Any) -> None:  # noqa: ANN401
            assert isinstance(network, INetworkDefinition)
            assert isinstance(logger, trt.ILogger)

        @property
        def num_errors(self) -> int:
            return int(trt.parse_error is not None)

        def parse(self, model: bytes) -> bool:
            trt.onnx = model
            return trt.parse_error is None

        def get_error(self, index: int) -> ParserError:
            assert index == 0
            return ParserError()

    class IOptimizationProfile:
        def set_shape(self, input: str, min: Shape, opt: Shape, max: Shape) -> None:  # noqa: A002
            assert input == trt.input_name
            assert min == opt == max
            trt.profiles.append(opt)

    class ITimingCache:
        def __init__(self, content: bytes) -> None:
            self._content = content

        def serialize(self) -> bytes:
            return self._content + b"k"

    class IBuilderConfig:
        progress_monitor: Any = None

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:  # noqa: ANN401
            assert pool is trt.MemoryPoolType.WORKSPACE
            assert 2**20 <= pool_size <= 2**30

        def set_flag(self, flag: Any) -> None:  # noqa: ANN401
            trt.flags.append(flag.name)

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            assert isinstance(profile, IOptimizationProfile)
            return len(trt.profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            trt.timing = serialized_timing_cache
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            assert isinstance(cache, ITimingCache)
            assert not ignore_mismatch
            return True

    if generation in WEAK:

        class IBuilderConfigWithCalibrator(IBuilderConfig):
            int8_calibrator: Any = None

            def set_calibration_profile(self, profile: IOptimizationProfile) -> bool:
                return isinstance(profile, IOptimizationProfile)

        trt.IBuilderConfig = IBuilderConfigWithCalibrator
    else:
        trt.IBuilderConfig = IBuilderConfig

    class Builder:
        def __init__(self, logger: Any) -> None:  # noqa: ANN401
            assert isinstance(logger, trt.ILogger)
            self._logger = logger
            trt.flags.clear()
            trt.profiles.clear()
            trt.calibrated.clear()

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            trt.network_flags = flags
            return INetworkDefinition()

        def create_builder_config(self) -> Any:  # noqa: ANN401
            return trt.IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: Any) -> bytes | None:  # noqa: ANN401
            assert isinstance(network, INetworkDefinition)
            trt.n_builds += 1
            config.progress_monitor.phase_start("Building Engine", None, 2)
            config.progress_monitor.step_complete("Building Engine", 0)
            config.progress_monitor.phase_finish("Building Engine")
            _calibrate(trt, config)
            if trt.build_error is not None:
                self._logger.log(trt.ILogger.INFO, "chatter")
                self._logger.log(trt.ILogger.ERROR, trt.build_error)
                return None
            return json.dumps({"device": trt.device, "profiles": trt.profiles}).encode()

    trt.Builder, trt.OnnxParser, trt.ParserError = Builder, OnnxParser, ParserError
    trt.INetworkDefinition, trt.ITensor, trt.ITimingCache = INetworkDefinition, ITensor, ITimingCache
    trt.IOptimizationProfile = IOptimizationProfile


def _calibrate(trt: Any, config: Any) -> None:  # noqa: ANN401
    calibrator = getattr(config, "int8_calibrator", None)
    if calibrator is None:
        return
    assert calibrator.read_calibration_cache() is None
    while (addresses := calibrator.get_batch([trt.input_name])) is not None:
        trt.calibrated.append([trt.cuda.device_memory[address].size for address in addresses])
    calibrator.write_calibration_cache(b"table")


def _add_runtime(trt: Any) -> None:  # noqa: ANN401, C901 (one class after another)
    class IExecutionContext:
        def __init__(self, profiles: list[Shape]) -> None:
            self._profiles = [tuple(shape) for shape in profiles]
            self._shape: Shape = ()
            self._profile = 0
            self._addresses: dict[str, int] = {}
            self._prepared = False

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            assert stream_handle == STREAM_HANDLE
            self._profile = profile_index
            return profile_index < len(self._profiles)

        def set_input_shape(self, name: str, shape: Shape) -> bool:
            assert name == trt.input_name
            self._shape = tuple(shape)
            return self._shape == self._profiles[self._profile]

        def infer_shapes(self) -> list[str]:
            return []

        def get_tensor_shape(self, name: str) -> Shape:
            assert name == trt.output_name
            return (self._shape[0],) if trt.n_outputs == 1 else (self._shape[0], trt.n_outputs)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            assert memory in trt.cuda.device_memory
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            trt.cuda.want_context("execute_async_v3")
            prepared, self._prepared = self._prepared, True
            if stream_handle != STREAM_HANDLE or not trt.can_enqueue:
                return False
            # The first enqueue completes work that a capture must not contain.
            assert prepared or trt.cuda.captured is None
            patches = trt.cuda.device_memory[self._addresses[trt.input_name]].reshape(self._shape)
            output = trt.cuda.device_memory[self._addresses[trt.output_name]]

            def kernel() -> None:
                output[...] = kernel_um(patches, trt.n_outputs).reshape(output.shape)

            trt.cuda.enqueue(kernel)
            return True

    class ICudaEngine:
        def __init__(self, profiles: list[Shape]) -> None:
            self._profiles = profiles

        @property
        def num_io_tensors(self) -> int:
            return 2

        def get_tensor_name(self, index: int) -> str:
            return str((trt.input_name, trt.output_name)[index])

        def get_tensor_mode(self, name: str) -> Any:  # noqa: ANN401
            return trt.TensorIOMode.INPUT if name == trt.input_name else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:  # noqa: ANN401
            assert name
            return trt.DataType.FLOAT

        def create_execution_context(self) -> IExecutionContext | None:
            trt.cuda.want_context("create_execution_context")
            return None if trt.no_context else IExecutionContext(self._profiles)

    class Runtime:
        def __init__(self, logger: Any) -> None:  # noqa: ANN401
            trt.cuda.want_context("Runtime")
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            try:
                content = json.loads(serialized_engine)
            except ValueError:
                content = {"device": "a file that is no engine", "profiles": []}
            if content["device"] != trt.device:
                self._logger.log(
                    trt.ILogger.ERROR, f"the engine plan is of {content['device']}, not of {trt.device}"
                )
                return None
            return ICudaEngine(content["profiles"])

    trt.Runtime, trt.ICudaEngine, trt.IExecutionContext = Runtime, ICudaEngine, IExecutionContext


def patches(n: int = 4) -> NDArray[np.float32]:
    """Return a batch (n, 3, 32, 32), the same for the same n."""
    return np.random.default_rng(n).normal(0.2, 1.0, (n, 3, 32, 32)).astype(np.float32)


def kernel_um(batch: Any, n_outputs: int = 1) -> Any:  # noqa: ANN401
    """Return the outputs of the fake kernel for a batch (n, 3, h, w): (n,), or (n, n_outputs)."""
    first = (10.0 * np.asarray(batch).mean(axis=(1, 2, 3))).astype(np.float32)
    return first if n_outputs == 1 else np.outer(first, np.arange(1, n_outputs + 1, dtype=np.float32))


MakeTensorRt = Callable[..., FakeTensorRt]
