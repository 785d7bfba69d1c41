"""Context, stream and buffers on a CUDA device, through pycuda.

pycuda.autoinit is not used: this retains the primary context, which other libraries in the process share. It is
current only inside `CudaMemory.current`, so any thread may use the device, one at a time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import DTypeLike, NDArray

from parfocal.engines.errors import BuildFailed, call_failed, one_line, out_of_memory


@dataclass(frozen=True)
class Buffer:
    """Page-locked host memory and the matching memory of the device.

    Attributes:
        host: array for the caller to fill or read.
        address: address of the memory for the device.
        device: memory of the device, freed with the buffer; None if the device uses the host memory (zero-copy).
    """

    host: NDArray[np.generic]
    address: int
    device: object


class CudaMemory:
    """The first CUDA device, with one stream. Call the other methods inside `current`."""

    def __init__(self, cuda: ModuleType, *, zero_copy: bool) -> None:
        """Retain the primary context of the device and create the stream.

        Args:
            cuda: the module `pycuda.driver`.
            zero_copy: let the device use host memory, for devices that share it with the CPU (Jetson).

        Raises:
            BuildFailed: the device could not be opened.
        """
        self._cuda = cuda
        self._zero_copy = zero_copy
        try:
            self._cuda.init()
            self._context = self._cuda.Device(0).retain_primary_context()
        except self._cuda.Error as error:
            raise BuildFailed(
                f"use of the CUDA device failed: {one_line(error)}. Reboot, then try again."
            ) from error
        with self.current():
            self._stream = self._cuda.Stream()

    @property
    def stream_handle(self) -> int:
        """Address of the stream, for TensorRT."""
        return int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current on this thread inside a `with` block.

        Raises:
            EngineError: a CUDA call inside the block failed; no exception of pycuda leaves it.
        """
        self._context.push()
        try:
            yield
        except self._cuda.MemoryError as error:
            raise out_of_memory(one_line(error)) from error
        except self._cuda.Error as error:
            raise call_failed(one_line(error)) from error
        finally:
            self._cuda.Context.pop()

    def buffer(self, shape: tuple[int, ...], dtype: DTypeLike) -> Buffer:
        """Allocate memory for an array, on host and device."""
        if self._zero_copy:
            flags = self._cuda.host_alloc_flags.DEVICEMAP
            host = self._cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
            return Buffer(host, int(host.base.get_device_pointer()), None)
        host = self._cuda.pagelocked_empty(shape, dtype)
        device = self._cuda.mem_alloc(host.nbytes)
        return Buffer(host, int(device), device)

    def upload(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer from host to device."""
        if buffer.device is not None:
            self._cuda.memcpy_htod_async(buffer.device, buffer.host, self._stream)

    def download(self, buffer: Buffer) -> None:
        """Enqueue the copy of a buffer from device to host."""
        if buffer.device is not None:
            self._cuda.memcpy_dtoh_async(buffer.host, buffer.device, self._stream)

    def synchronize(self) -> None:
        """Wait until all enqueued work is done."""
        self._stream.synchronize()

    def repeatable(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Return the fastest way to repeat `enqueue` on the same buffers.

        pycuda has no CUDA graphs, so this returns `enqueue` itself.
        """
        return enqueue
