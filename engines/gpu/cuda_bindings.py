"""Context, stream and buffers through cuda-bindings, which pip installs without a CUDA toolkit. Used without pycuda."""

import ctypes
import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from cuda.bindings import driver
from numpy.typing import DTypeLike

from parfocal.engines.errors import call_failed, out_of_memory
from parfocal.engines.gpu.cuda_memory import Buffer, CudaMemory


class BindingsMemory(CudaMemory):
    """Same interface as `CudaMemory`, on the functions of the CUDA driver."""

    def __init__(self, *, zero_copy: bool) -> None:
        self._zero_copy = zero_copy
        _call("cuInit", 0)
        self._context = _call("cuDevicePrimaryCtxRetain", _call("cuDeviceGet", 0))
        with self.current():
            self._stream = _call("cuStreamCreate", 0)

    @property
    def stream_handle(self) -> int:
        """Address of the stream, for TensorRT."""
        return int(self._stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current on this thread inside a `with` block."""
        _call("cuCtxPushCurrent", self._context)
        try:
            yield
        finally:
            _call("cuCtxPopCurrent")

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Allocate memory for an array, on host and device."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        flags = driver.CU_MEMHOSTALLOC_DEVICEMAP if self._zero_copy else 0
        pointer = int(_call("cuMemHostAlloc", n_bytes, flags))
        host = np.frombuffer(memoryview((ctypes.c_ubyte * n_bytes).from_address(pointer)), dtype).reshape(
            shape
        )
        if self._zero_copy:
            buffer = Buffer(host, int(_call("cuMemHostGetDevicePointer", pointer, 0)), None)
        else:
            device = _call("cuMemAlloc", n_bytes)
            buffer = Buffer(host, int(device), device)
        weakref.finalize(
            buffer, self._free, pointer, buffer.device
        ).atexit = False  # at exit the driver frees everything
        return buffer

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer from host to device."""
        if buffer.device is not None:
            host = buffer.host
            _call("cuMemcpyHtoDAsync", buffer.device, host.ctypes.data, host.nbytes, self._stream)

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer from device to host."""
        if buffer.device is not None:
            host = buffer.host
            _call("cuMemcpyDtoHAsync", host.ctypes.data, buffer.device, host.nbytes, self._stream)

    def synchronize(self) -> None:
        """Wait until all enqueued work is done."""
        _call("cuStreamSynchronize", self._stream)

    def repeatable(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Capture `enqueue` as a CUDA graph; returns a function that launches it on the same buffers.

        The work runs once before the capture: TensorRT completes its set-up in the first enqueue.
        """
        enqueue()
        self.synchronize()
        _call(
            "cuStreamBeginCapture",
            self._stream,
            driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
        )
        try:
            enqueue()
        finally:
            captured = _call("cuStreamEndCapture", self._stream)
        graph = _call("cuGraphInstantiate", captured, 0)
        _call("cuGraphDestroy", captured)
        launch = functools.partial(_call, "cuGraphLaunch", graph, self._stream)
        weakref.finalize(launch, self._destroy, graph).atexit = False  # at exit the driver frees everything
        return launch

    def _destroy(self, graph: object) -> None:
        with self.current():
            _call("cuGraphExecDestroy", graph)

    def _free(self, pointer: int, device: object) -> None:
        with self.current():
            _call("cuMemFreeHost", pointer)
            if device is not None:
                _call("cuMemFree", device)


def _call(name: str, *arguments: object) -> Any:  # noqa: ANN401 (a handle, an address, or nothing)
    """Call a function of the driver. Raises OutOfMemory, or EngineError for any other failure."""
    result, *values = getattr(driver, name)(*arguments)
    if int(result):
        said = f"{name} failed: {driver.cuGetErrorString(result)[1].decode()}"
        is_memory = result == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY
        raise out_of_memory(said) if is_memory else call_failed(said)
    return values[0] if values else None
