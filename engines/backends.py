"""The two backends behind one seam: OpenVINO for this CPU, TensorRT for this GPU."""

import contextlib
from dataclasses import dataclass
from typing import Final, Protocol, TypedDict

from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu import openvino as openvino_cpu
from parfocal.engines.errors import BuildFailed, EngineStale
from parfocal.engines.gpu import tensorrt_builder
from parfocal.engines.gpu.cuda_probe import CudaDevice, probe
from parfocal.engines.gpu.open import open_memory
from parfocal.engines.gpu.tensorrt_runner import TensorRtRunner
from parfocal.engines.key import Backend, EngineKey, Int8Mode, Precision
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.forms import FORMS_VERSION, INT8_FORMS, Form, load_int8
from parfocal.engines.model.golden import golden_path, load_golden, sha256_of
from parfocal.engines.model.shipped import Model
from parfocal.engines.progress import Report
from parfocal.engines.runner import Runner

# Patches of one prediction, the usual number first. Two shots: the middle of the field. One shot: 7 or 9 places in
# the field (liao2021), or 1 where no more fit.
BATCHES: Final[dict[str, tuple[int, ...]]] = {"difference": (4,), "pair": (4,), "single": (7, 9, 1)}

Candidate = tuple[Precision, Int8Mode]


@dataclass(frozen=True)
class BuildRequest:
    """One engine to build.

    Attributes:
        model: to build the engine from.
        key: of the engine, from `EngineMaker.key`.
        onnx: content of the form that the key names.
        cache: may hold what earlier builds of the same engine measured.
        report: called with the progress, a few words at a time.
    """

    model: Model
    key: EngineKey
    onnx: bytes
    cache: EngineCache
    report: Report


class _Origin(TypedDict):
    """The part of a key that depends on the files of the model."""

    onnx_sha256: str
    form: Form
    forms: int
    scales_sha256: str


class EngineMaker(Protocol):
    """Builds and opens engines on this machine."""

    @property
    def backend(self) -> Backend:
        """The library that runs them."""

    def candidates(self, int8_mode: Int8Mode | None) -> tuple[Candidate, ...]:
        """Return the precisions worth measuring. `int8_mode` is what the user asked for, None for nothing."""

    def key(self, model: Model, precision: Precision, int8_mode: Int8Mode) -> EngineKey:
        """Return the key that an engine would have. Raises BuildFailed if it cannot be built here."""

    def build(self, request: BuildRequest) -> bytes:
        """Build an engine. Raises BuildFailed."""

    def open(self, engine: bytes, key: EngineKey, contract: Contract) -> Runner:
        """Open a built engine. Raises EngineStale or BuildFailed."""


class OpenVinoMaker:
    """Engines for this CPU."""

    backend: Final = "openvino"

    def __init__(self, n_threads: int) -> None:
        """Use `n_threads` per inference, 0 for every core. Raises BuildFailed if OpenVINO is not installed."""
        self._n_threads = n_threads
        self._version = str(openvino_cpu.import_openvino().__version__)
        self._cpu, self._precisions = openvino_cpu.cpu_and_precisions()

    def candidates(self, int8_mode: Int8Mode | None) -> tuple[Candidate, ...]:
        """Return every precision of the CPU: a build takes a second."""
        mode: Int8Mode = int8_mode or "explicit"
        return tuple((precision, mode if precision == "int8" else "none") for precision in self._precisions)

    def key(self, model: Model, precision: Precision, int8_mode: Int8Mode) -> EngineKey:
        """Return the key that an engine would have. Raises BuildFailed for implicit INT8 or a damaged model."""
        if int8_mode == "implicit":
            raise BuildFailed(
                "build in int8 with implicit quantisation refused: OpenVINO does not offer it. "
                "Use `--int8-mode explicit`."
            )
        return EngineKey(
            **_origin(model, "int8_qdq" if precision == "int8" else "fp32"),
            model=model.label,
            backend="openvino",
            precision=precision,
            int8_mode=int8_mode,
            batches=BATCHES[model.contract.kind],
            n_threads=self._n_threads,
            runtime=f"OpenVINO {self._version}",
            driver="",
            device=self._cpu,
            system="",
            builder=openvino_cpu.BUILDER_VERSION,
        )

    def build(self, request: BuildRequest) -> bytes:
        """Compile an engine, in about a second."""
        key = request.key
        return openvino_cpu.build_engine(
            request.onnx, request.model.contract, key.precision, key.batches, n_threads=self._n_threads
        )

    def open(self, engine: bytes, key: EngineKey, contract: Contract) -> Runner:
        """Open a compiled engine."""
        return openvino_cpu.open_engine(
            engine, contract, key.precision, key.batches, n_threads=self._n_threads
        )


class TensorRtMaker:
    """Engines for this GPU."""

    backend: Final = "tensorrt"

    def __init__(self, device: CudaDevice | None = None) -> None:
        """Open the CUDA device. Raises BuildFailed if there is no device, no TensorRT or no Python binding of CUDA."""
        self._device = device or probe()
        self._trt = tensorrt_builder.import_tensorrt()
        self._memory = open_memory(zero_copy=self._device.is_integrated)

    def candidates(self, int8_mode: Int8Mode | None) -> tuple[Candidate, ...]:
        """Return FP32 and FP16, and INT8 only on request: its build takes long and gains little on these nets."""
        always: tuple[Candidate, ...] = (("fp32", "none"), ("fp16", "none"))
        return always if int8_mode is None or int8_mode == "none" else (*always, ("int8", int8_mode))

    def key(self, model: Model, precision: Precision, int8_mode: Int8Mode) -> EngineKey:
        """Return the key that an engine would have. Raises BuildFailed for implicit INT8 or a damaged model."""
        return EngineKey(
            **_origin(model, tensorrt_builder.form_of(self._trt, precision, int8_mode)),
            model=model.label,
            backend="tensorrt",
            precision=precision,
            int8_mode=int8_mode,
            batches=BATCHES[model.contract.kind],
            n_threads=0,
            runtime=f"TensorRT {self._trt.__version__}",
            driver=f"CUDA {self._device.driver} ({self._device.release})".removesuffix(" ()"),
            device=f"{self._device.name} (SM {self._device.sm})",
            system=self._device.l4t,
            builder=tensorrt_builder.BUILDER_VERSION,
            calibration_sha256=sha256_of(golden_path(model.path)) if int8_mode == "implicit" else "",
        )

    def build(self, request: BuildRequest) -> bytes:
        """Build an engine, in minutes on a Jetson. The timing cache is kept for the next build of the same key."""
        model, key, cache = request.model, request.key, request.cache
        timing_file = f"{key.slot}.{key.digest}.timing"
        built = tensorrt_builder.build_engine(
            self._trt,
            request.onnx,
            tensorrt_builder.Recipe(precision=key.precision, int8_mode=key.int8_mode, batches=key.batches),
            timing_cache=_timing_cache(cache, timing_file),
            calibration=(
                tensorrt_builder.Calibration(load_golden(model.path).calibration, self._memory)
                if key.int8_mode == "implicit"
                else None
            ),
            report=request.report,
        )
        with contextlib.suppress(BuildFailed):  # without disk space for it, the engine itself may still fit
            cache.write(timing_file, built.timing_cache)
        return built.engine

    def open(self, engine: bytes, key: EngineKey, contract: Contract) -> Runner:
        """Open an engine on the GPU."""
        return TensorRtRunner(self._trt, engine, contract, key.batches, self._memory)


def _origin(model: Model, form: Form) -> _Origin:
    """Return what an engine depends on in the files of its model. Raises BuildFailed if they are unusable."""
    return _Origin(
        onnx_sha256=sha256_of(model.path),
        form=form,
        forms=0 if form == "fp32" else FORMS_VERSION,
        scales_sha256=load_int8(model.path, model.scales).ranges_sha256 if form in INT8_FORMS else "",
    )


def _timing_cache(cache: EngineCache, timing_file: str) -> bytes:
    """Return the timing cache of an earlier build; b"" without one, which makes the build slower."""
    try:
        return cache.read(timing_file) or b""
    except EngineStale:
        return b""


def maker_of(backend: Backend | None, n_threads: int) -> tuple[EngineMaker, str]:
    """Return the engine maker for this machine: TensorRT where it works, else OpenVINO.

    Args:
        backend: the backend to use, None for the better one.
        n_threads: threads of an inference on the CPU, 0 for every core.

    Returns:
        The maker, and why TensorRT is not used; "" if it is used, or OpenVINO was requested.

    Raises:
        BuildFailed: the requested backend does not work here.
    """
    if backend == "openvino":
        return OpenVinoMaker(n_threads), ""
    try:
        return TensorRtMaker(), ""
    except BuildFailed as error:
        if backend == "tensorrt":
            raise
        return OpenVinoMaker(n_threads), str(error)
