"""All outputs of a graph on the CPU in float32, for calibration: no other runtime is needed on a device."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.cpu.openvino import PRECISION_HINTS, shared_core
from parfocal.engines.errors import BuildFailed, one_line

if TYPE_CHECKING:
    import openvino


class GraphOnCpu:
    """A graph that is compiled once."""

    def __init__(self, onnx: bytes) -> None:
        """Compile the content of an ONNX file. Raises BuildFailed."""
        core = shared_core()
        settings = {"INFERENCE_PRECISION_HINT": PRECISION_HINTS["fp32"], "PERFORMANCE_HINT": "LATENCY"}
        try:
            self._compiled: openvino.CompiledModel = core.compile_model(
                core.read_model(onnx), "CPU", settings
            )
        except RuntimeError as error:
            raise BuildFailed(f"build of a graph for calibration failed: {one_line(error)}") from error

    def outputs(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return all outputs by name for a batch, float32 (n, channels, h, w)."""
        found = self._compiled([batch])
        return {name: value for port, value in found.items() for name in port.get_names()}
