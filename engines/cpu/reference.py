"""The independent reference for all engines: the same model on ONNX Runtime.

ONNX Runtime comes with the `test` extra. The instrument does not use it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed, one_line
from parfocal.engines.model.contract import Contract, contract_from_onnx
from parfocal.engines.runner import check_batch, check_graph, checked_output


class OnnxRuntimeRunner:
    """A `Runner` on ONNX Runtime, in the precision of the graph."""

    def __init__(self, path: Path, *, n_threads: int) -> None:
        """Open a model.

        Args:
            path: path of the ONNX file, with its contract in the metadata.
            n_threads: threads of one inference; 0 lets ONNX Runtime use every core.

        Raises:
            BuildFailed: the file is unusable, or ONNX Runtime is not installed.
            ValueError: n_threads is negative.
        """
        if n_threads < 0:
            raise ValueError(f"n_threads is {n_threads}, must be 0 or more")
        self._contract = contract_from_onnx(path)
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as refusals
        except ImportError as error:
            raise BuildFailed(
                f"build of model {path} failed: ONNX Runtime cannot be imported ({one_line(error)}). "
                "Run `make setup`."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        # Measured: spin-waiting triples the latency on a loaded machine with two cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except (
            refusals.Fail,
            refusals.InvalidArgument,
            refusals.InvalidGraph,
            refusals.InvalidProtobuf,
            refusals.NotImplemented,
        ) as error:
            raise BuildFailed(
                f"build of model {path} failed: ONNX Runtime says: {one_line(error)} "
                "Export the model again, or use an intact copy."
            ) from error
        input_shapes = {node.name: _sizes(node.shape) for node in self._session.get_inputs()}
        output_names = [node.name for node in self._session.get_outputs()]
        self._n_fixed = check_graph(self._contract, input_shapes, output_names)

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
        (output,) = self._session.run([self._contract.output_name], {self._contract.input_name: batch})
        return checked_output(self._contract, output, len(batch))


def _sizes(shape: list[int | str | None]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in shape]
