"""A stand-in for pycuda.driver. Memory is arrays by address; every call needs the context on its thread.

It does not model asynchrony. Copies and kernels run at once, in the order in which they are enqueued. Work on a
captured stream runs when its graph is launched.
"""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
STREAM_HANDLE = 77
DEVICEMAP = 2


class Error(Exception):
    """Like that of pycuda."""


class OutOfMemory(Error):
    """Like that of pycuda, where it is an Error as well."""


class FakeCuda(ModuleType):
    """One device. The fixture `cuda` installs it as pycuda.driver."""

    Error = Error
    MemoryError = OutOfMemory

    def __init__(self, free_bytes: int = 10**9) -> None:  # noqa: C901 (one class after another)
        super().__init__("pycuda.driver")
        self.free_bytes = free_bytes
        self.device_memory: dict[int, Array] = {}
        self.is_initialised = False
        self.driver = self  # `import pycuda.driver` reads this attribute of the package
        self.log: list[str] = []
        self.captured: list[Callable[[], None]] | None = None
        self._stacks = threading.local()
        cuda = self

        class Context:
            def push(self) -> None:
                cuda.stack().append(self)

            @staticmethod
            def pop() -> None:
                cuda.stack().pop()

        class Device:
            def __init__(self, ordinal: int) -> None:
                assert cuda.is_initialised
                assert ordinal == 0

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream:
            def __init__(self, flags: int = 0) -> None:
                assert flags == 0
                cuda.want_context("Stream")
                self.handle = STREAM_HANDLE

            def synchronize(self) -> None:
                cuda.want_context("synchronize")
                assert cuda.captured is None

        class HostAllocation:
            def __init__(self, store: Array) -> None:
                self._store = store
                self.__array_interface__ = store.__array_interface__

            def get_device_pointer(self) -> int:
                cuda.want_context("get_device_pointer")
                return cuda.adopt(self._store)

        class DeviceAllocation(int):
            """An address."""

        class host_alloc_flags:  # noqa: N801 (pycuda's name)
            DEVICEMAP = DEVICEMAP

        def pagelocked_empty(
            shape: tuple[int, ...], dtype: DTypeLike, order: str = "C", mem_flags: int = 0
        ) -> Array:
            assert order == "C"
            cuda.want_context(f"pagelocked_empty {mem_flags}")
            return np.asarray(HostAllocation(np.zeros(shape, dtype)))

        def mem_alloc(bytes: int) -> DeviceAllocation:  # noqa: A002 (pycuda's name)
            cuda.want_context("mem_alloc")
            if bytes > cuda.free_bytes:
                raise cuda.MemoryError("cuMemAlloc failed: out of memory")
            cuda.free_bytes -= bytes
            return DeviceAllocation(cuda.adopt(np.zeros(bytes // 4, np.float32)))

        def memcpy_htod_async(dest: int, src: Array, stream: Any = None) -> None:  # noqa: ANN401
            cuda.want_context("memcpy_htod_async")
            assert isinstance(stream, Stream)
            assert src.flags.c_contiguous
            cuda.device_memory[int(dest)][...] = src.ravel()

        def memcpy_dtoh_async(dest: Array, src: int, stream: Any = None) -> None:  # noqa: ANN401
            cuda.want_context("memcpy_dtoh_async")
            assert isinstance(stream, Stream)
            dest.reshape(-1)[...] = cuda.device_memory[int(src)]

        self.Context, self.Device, self.Stream = Context, Device, Stream
        self.HostAllocation, self.DeviceAllocation = HostAllocation, DeviceAllocation
        self.host_alloc_flags = host_alloc_flags
        self.pagelocked_empty, self.mem_alloc = pagelocked_empty, mem_alloc
        self.memcpy_htod_async, self.memcpy_dtoh_async = memcpy_htod_async, memcpy_dtoh_async

    def init(self, flags: int = 0) -> None:
        """Initialise the driver."""
        assert flags == 0
        self.is_initialised = True

    def stack(self) -> list[Any]:
        """Return the contexts that are current on this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        stack: list[Any] = self._stacks.contexts
        return stack

    def want_context(self, call: str) -> None:
        """Raise the error of the driver on a thread without a context."""
        self.log.append(call)
        if not self.stack():
            raise self.Error(f"{call} failed: invalid device context")

    def enqueue(self, work: Callable[[], None]) -> None:
        """Do work at once, or record it while the stream is captured."""
        if self.captured is None:
            work()
        else:
            self.captured.append(work)

    def adopt(self, store: Array) -> int:
        """Assign an address to memory."""
        address = 0x1000 * (len(self.device_memory) + 1)
        self.device_memory[address] = store.reshape(-1)
        return address
