"""Context, stream and buffers on a CUDA device, through pycuda.

No autoinit: the primary context is retained, so that other libraries in the process share it, and is pushed
onto the thread that works and popped again, so that any thread may work, one at a time.
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
    """Page-locked host memory and what the device reads or writes instead of it.

    Attributes:
        host: an array for the caller to fill or read.
        address: of the memory as the device sees it.
        device: the device's own memory, freed with it; None where it works on the host's directly (zero-copy).
    """

    host: NDArray[np.generic]
    address: int
    device: object


class CudaMemory:
    """The first CUDA device with one stream. Methods other than `current` want the context current."""

    def __init__(self, cuda: ModuleType, *, zero_copy: bool) -> None:
        """Retain the device's primary context and make the stream.

        Args:
            cuda: the module pycuda.driver.
            zero_copy: let the device work on host memory, where both share one memory (Jetson).

        Raises:
            BuildFailed: the device refuses.
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
        """Address of the stream, as TensorRT takes it."""
        return int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current on this thread for a while.

        Raises:
            EngineError: a CUDA call inside was refused; no exception of pycuda leaves.
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
        """Return new memory for an array."""
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
        """Wait for all that was enqueued."""
        self._stream.synchronize()

    def repeatable(self, enqueue: Callable[[], None]) -> Callable[[], None]:
        """Return what enqueues the same work on the same buffers, as fast as the library can repeat it.

        With pycuda, which knows no CUDA graphs, that is `enqueue` itself.
        """
        return enqueue
