"""The CPU engine: OpenVINO, in the precision that the caller chooses."""

import functools
import io
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.cpu.rewrites import narrow_input_once
from parfocal.engines.errors import HOW_TO_REBUILD, BuildFailed, EngineStale, one_line
from parfocal.engines.key import Precision
from parfocal.engines.model.contract import Contract, contract_from_onnx
from parfocal.engines.runner import check_batch, check_graph, checked_output

if TYPE_CHECKING:
    import openvino

# For all but INT8. Without a hint OpenVINO uses bf16 on a CPU that has it.
PRECISION_HINTS: Final[Mapping[Precision, str]] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
CAPABILITIES: Final[Mapping[Precision, str]] = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
BUILDER_VERSION: Final = 5
# Half of the import time of OpenVINO goes into this model converter and its telemetry client, which are not used here.
# OpenVINO treats the module as optional.
CONVERTER: Final = "openvino.tools.ovc"


class CompiledRunner:
    """A `Runner` on the CPU. It reuses its infer requests, so use it from one thread at a time."""

    def __init__(self, compiled: "openvino.CompiledModel", contract: Contract, n_fixed: int | None) -> None:
        """Run a compiled model. `n_fixed` is the batch size that it is fixed to, None if it takes any.

        If the model is compiled for a share of the batch, the shares of a batch run in parallel.
        """
        self._contract, self._n_fixed, self._compiled = contract, n_fixed, compiled
        (self._share,) = _sizes(compiled.inputs[0].partial_shape)[:1]
        self._requests = [compiled.create_infer_request()]

    @property
    def contract(self) -> Contract:
        """The contract of the model: its input and output."""
        return self._contract

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the outputs, float32 (n, outputs), for a batch float32 (n, channels, patch_px, patch_px).

        Raises:
            InputMismatch: the batch does not have the type and shape that the model takes.
        """
        check_batch(self._contract, batch, self._n_fixed)
        share = self._share or len(batch)
        starts = range(0, len(batch), share)
        while len(self._requests) < len(starts):  # only at the first batch of a larger size
            self._requests.append(self._compiled.create_infer_request())
        # No copies in between: OpenVINO reads the caller's array, and its output is copied once, below.
        for start, request in zip(starts, self._requests, strict=False):
            request.start_async([batch[start : start + share]], share_inputs=True)
        parts = []
        for _, request in zip(starts, self._requests, strict=False):
            request.wait()
            output = request.get_tensor(self._contract.output_name).data
            parts.append(checked_output(self._contract, output, share))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class OpenVinoRunner(CompiledRunner):
    """A model compiled in float32 when it is opened, which takes about 0.2 s for a MobileNetV2."""

    def __init__(self, path: Path, *, n_threads: int) -> None:
        """Compile a model.

        Args:
            path: path of the ONNX file, with its contract in the metadata.
            n_threads: threads of one inference; 0 lets OpenVINO use every core.

        Raises:
            BuildFailed: the file is unusable, or OpenVINO is not installed.
            ValueError: n_threads is negative.
        """
        contract = contract_from_onnx(path)
        compiled, n_fixed = _compiled(path, contract, "fp32", (), n_threads)
        super().__init__(compiled, contract, n_fixed)


def open_engine(
    engine: bytes, contract: Contract, precision: Precision, batches: tuple[int, ...], *, n_threads: int
) -> CompiledRunner:
    """Open an engine that `build_engine` made with the same arguments; takes about 0.05 s.

    Raises:
        EngineStale: OpenVINO refuses the engine.
        BuildFailed: OpenVINO is not installed.
    """
    core = shared_core()
    try:
        compiled = core.import_model(
            io.BytesIO(engine), "CPU", _settings(core, precision, batches, n_threads)
        )
    except RuntimeError as error:
        raise EngineStale(
            f"OpenVINO refuses the engine of model {contract.name}: {one_line(error)} {HOW_TO_REBUILD}"
        ) from error
    return CompiledRunner(compiled, contract, batches[0] if len(batches) == 1 else None)


def build_engine(
    onnx: bytes, contract: Contract, precision: Precision, batches: tuple[int, ...], *, n_threads: int
) -> bytes:
    """Compile the content of an ONNX file for this CPU; `open_engine` opens the result.

    The share of a batch that one core predicts is fixed in the engine. With several batch sizes it takes any size.

    Raises:
        BuildFailed: the model is unusable, the CPU lacks the precision, or OpenVINO is not installed.
    """
    compiled, _ = _compiled(onnx, contract, precision, batches, n_threads)
    engine: bytes = compiled.export_model().getvalue()
    return engine


def import_openvino() -> ModuleType:
    """Import OpenVINO without its model converter.

    Raises:
        BuildFailed: OpenVINO is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules[CONVERTER] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        import openvino
    except ImportError as error:
        raise BuildFailed(
            f"use of OpenVINO failed: it cannot be imported ({one_line(error)}). Run `make setup`."
        ) from error
    finally:
        if sys.modules.get(CONVERTER, ...) is None:
            del sys.modules[CONVERTER]
    module: ModuleType = openvino
    return module


@functools.cache
def shared_core() -> "openvino.Core":
    """Return the one Core of this process.

    The CPU plugin of each Core sets an alternate signal stack for its thread. When the lives of two overlap, the last
    to end puts back the freed stack of the other, and the next signal, Ctrl-C for one, crashes the process.

    Raises:
        BuildFailed: OpenVINO is not installed.
    """
    return import_openvino().Core()


def cpu_and_precisions() -> tuple[str, tuple[Precision, ...]]:
    """Return the name of this CPU and the precisions worth trying on it, most precise first.

    For half precision only bf16 is tried: a CPU with fp16 also has bf16, which is faster.

    Raises:
        BuildFailed: OpenVINO is not installed.
    """
    core = shared_core()
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    tried: tuple[Precision, ...] = ("bf16", "int8")
    name = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
    # The number of cores is part of the name: an engine fixes the share of each core, and leaves additional cores idle.
    return (
        f"{name}, {core.get_property('CPU', 'RANGE_FOR_STREAMS')[1]} streams at most",
        ("fp32", *(precision for precision in tried if CAPABILITIES[precision] in capabilities)),
    )


def _compiled(
    source: Path | bytes,
    contract: Contract,
    precision: Precision,
    batches: tuple[int, ...],
    n_threads: int,
) -> tuple["openvino.CompiledModel", int | None]:
    """Return the compiled model and the batch size that it is fixed to, None if it takes any."""
    if n_threads < 0:
        raise ValueError(f"n_threads is {n_threads}, must be 0 or more")
    openvino = import_openvino()
    try:
        core = shared_core()
        if CAPABILITIES.get(precision, "FP32") not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BuildFailed(
                f"build in {precision} refused: this CPU does not support it. Use fp32 or int8."
            )
        model = core.read_model(source)
        input_shapes = {node.any_name: _sizes(node.partial_shape) for node in model.inputs}
        output_names = [node.any_name for node in model.outputs]
        n_fixed = check_graph(contract, input_shapes, output_names)
        if batches and n_fixed is None:
            share, _ = _share_and_streams(core, batches, n_threads)
            model.reshape(
                {contract.input_name: [share, contract.channels, contract.patch_px, contract.patch_px]}
            )
        settings = _settings(core, precision, batches, n_threads)
        if settings["INFERENCE_PRECISION_HINT"] != PRECISION_HINTS["fp32"]:
            narrow_input_once(openvino, model)
        return core.compile_model(model, "CPU", settings), n_fixed
    except RuntimeError as error:
        raise BuildFailed(
            f"build of model {contract.name if isinstance(source, bytes) else source} failed: OpenVINO says: "
            f"{one_line(error)} Export the model again, or use an intact copy."
        ) from error


def _share_and_streams(core: "openvino.Core", batches: tuple[int, ...], n_threads: int) -> tuple[int, int]:
    """Return how many patches one inference takes, and how many inferences run in parallel.

    Cores that each predict their own patches wait for each other once; cores that share a patch wait after every
    layer. Four patches on two cores took 2.9 ms with own patches and 4.1 ms with shared ones.
    """
    n_cores: int = n_threads or core.get_property("CPU", "RANGE_FOR_STREAMS")[1]
    together = math.gcd(*batches)
    fitting = [n for n in range(1, together + 1) if together % n == 0 and batches[0] // n >= n_cores]
    share = max(fitting, default=1)
    return share, min(n_cores, batches[0] // share)


def _settings(
    core: "openvino.Core", precision: Precision, batches: tuple[int, ...], n_threads: int
) -> dict[str, str | int | bool]:
    """Return the settings for OpenVINO. The float layers of an INT8 net run in bf16 if the CPU has it."""
    half = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    return {
        "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, and the stage is waiting
        "NUM_STREAMS": _share_and_streams(core, batches, n_threads)[1] if batches else 1,
        "INFERENCE_NUM_THREADS": n_threads,
        # A pinned thread waits for other work on its core while another core idles. With one busy process on two
        # cores, pinning made the best times 1.5 times as long.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": PRECISION_HINTS.get(precision, half),
    }


def _sizes(shape: "openvino.PartialShape") -> list[int | None]:
    return [None if size.is_dynamic else size.get_length() for size in shape]
