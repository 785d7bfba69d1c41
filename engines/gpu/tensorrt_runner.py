"""Predict with a TensorRT engine. Buffers and contexts are created once; each batch is one enqueue."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import (
    HOW_TO_REBUILD,
    BuildFailed,
    EngineError,
    EngineStale,
    InputMismatch,
    one_line,
)
from parfocal.engines.gpu.cuda_memory import Buffer, CudaMemory
from parfocal.engines.gpu.tensorrt_builder import logger_of
from parfocal.engines.model.contract import Contract
from parfocal.engines.runner import check_batch, promised_output


@dataclass(frozen=True)
class _Lane:
    """What one batch size needs.

    Attributes:
        context: execution context; kept because `enqueue` may be a CUDA graph that uses its memory.
        given: input buffer.
        made: output buffer.
        enqueue: enqueues upload, inference and download.
    """

    context: Any
    given: Buffer
    made: Buffer
    enqueue: Callable[[], None]


class TensorRtRunner:
    """A `Runner` on a GPU. Use it from any thread, one at a time."""

    def __init__(
        self, trt: ModuleType, engine: bytes, contract: Contract, batches: tuple[int, ...], memory: CudaMemory
    ) -> None:
        """Create contexts and buffers.

        Args:
            trt: the `tensorrt` module.
            engine: serialized engine, with one profile for each of `batches`, in that order.
            contract: contract of the model it was built from.
            batches: batch sizes that it takes.
            memory: memory of the device.

        Raises:
            EngineStale: TensorRT refuses the engine: another version or device built it.
            BuildFailed: the engine contradicts the contract, or the device has too little memory.
        """
        self._contract, self._memory = contract, memory
        logger, log = logger_of(trt)
        log.clear()
        with memory.current():
            try:
                self._runtime = trt.Runtime(logger)
                self._engine = self._runtime.deserialize_cuda_engine(engine)
            except (RuntimeError, TypeError) as error:
                raise EngineStale(_refused(trt, contract, f"{one_line(error)}; {log.tail()}")) from error
            if self._engine is None:
                raise EngineStale(_refused(trt, contract, log.tail()))
            self._check_tensors(trt)
            self._lanes = {batch: self._lane(trt, profile, batch) for profile, batch in enumerate(batches)}
            memory.synchronize()

    @property
    def contract(self) -> Contract:
        """The contract of the model: its input and output."""
        return self._contract

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the outputs, float32 (n, outputs), for a batch float32 (n, channels, patch_px, patch_px).

        Raises:
            InputMismatch: the batch does not have the type and shape that the engine takes.
            EngineError: the device failed.
        """
        check_batch(self._contract, batch, None)
        lane = self._lanes.get(len(batch))
        if lane is None:
            raise InputMismatch(
                f"inference with model {self._contract.name} refused: the batch has {len(batch)} patches, the engine "
                f"takes {' or '.join(str(n) for n in self._lanes)}. Use one of these sizes."
            )
        memory = self._memory
        with memory.current():
            np.copyto(lane.given.host, batch)
            lane.enqueue()
            memory.synchronize()
        return lane.made.host.reshape(len(batch), self._contract.n_outputs).astype(np.float32)

    def _check_tensors(self, trt: ModuleType) -> None:
        """Compare names, directions and types of the tensors with the contract."""
        wanted = {
            self._contract.input_name: (trt.TensorIOMode.INPUT, trt.DataType.FLOAT),
            self._contract.output_name: (trt.TensorIOMode.OUTPUT, trt.DataType.FLOAT),
        }
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        found = {
            name: (self._engine.get_tensor_mode(name), self._engine.get_tensor_dtype(name)) for name in names
        }
        if found != wanted:
            raise BuildFailed(
                f"use of the engine of model {self._contract.name} failed: its tensors are {_shown(found)}, the "
                f"contract promises {_shown(wanted)}. Export the model again with the programs in tools/."
            )

    def _lane(self, trt: ModuleType, profile: int, batch: int) -> _Lane:
        contract, memory = self._contract, self._memory
        context = self._engine.create_execution_context()
        shape = (batch, contract.channels, contract.patch_px, contract.patch_px)
        if context is None:
            raise BuildFailed(
                f"use of the engine of model {contract.name} failed: the device has no memory for its context "
                f"({logger_of(trt)[1].tail()}). Close other programs on it."
            )
        if not (
            context.set_optimization_profile_async(profile, memory.stream_handle)
            and context.set_input_shape(contract.input_name, shape)
        ):
            raise EngineStale(
                f"engine of model {contract.name} does not take batches of {batch}. {HOW_TO_REBUILD}"
            )
        missing = context.infer_shapes()
        made_shape = tuple(context.get_tensor_shape(contract.output_name))
        if missing or int(np.prod(made_shape)) != batch * contract.n_outputs:
            raise BuildFailed(
                f"use of the engine of model {contract.name} failed: a batch of {batch} gives an output {made_shape}, "
                f"not {promised_output(contract)}. Export the model again with the programs in tools/."
            )
        given, made = memory.buffer(shape, np.float32), memory.buffer(made_shape, np.float32)
        context.set_tensor_address(contract.input_name, given.address)
        context.set_tensor_address(contract.output_name, made.address)

        def enqueue() -> None:
            memory.upload(given)
            if not context.execute_async_v3(memory.stream_handle):
                raise EngineError(
                    f"inference with model {contract.name} failed: TensorRT did not accept it. {HOW_TO_REBUILD}"
                )
            memory.download(made)

        return _Lane(context, given, made, memory.repeatable(enqueue))


def _refused(trt: ModuleType, contract: Contract, said: str) -> str:
    return f"TensorRT {trt.__version__} refuses the engine of model {contract.name}: {said}. {HOW_TO_REBUILD}"


def _shown(tensors: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} ({mode.name} {dtype.name})" for name, (mode, dtype) in tensors.items())
