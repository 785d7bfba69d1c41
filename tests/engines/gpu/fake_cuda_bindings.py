"""A stand-in for cuda.bindings.driver on the memory of `FakeCuda`. Calls return a result code and values."""

import ctypes
import enum
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.engines.gpu.fake_cuda import DEVICEMAP, STREAM_HANDLE, FakeCuda

FLOAT_BYTES = 4


class Result(enum.IntEnum):
    """The result codes that the tests use."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901


class CaptureMode(enum.IntEnum):
    """The capture mode that the product uses."""

    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1


class FakeBindings(ModuleType):
    """One device. `host` is page-locked memory by address. Freed memory is removed from it and from the device.

    `graphs` are the graphs that can be launched.
    """

    CUresult = Result
    CUstreamCaptureMode = CaptureMode
    CU_MEMHOSTALLOC_DEVICEMAP = DEVICEMAP

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("cuda.bindings.driver")
        self.fake = cuda
        self.driver = self  # `from cuda.bindings import driver` reads this attribute
        self.host: dict[int, NDArray[np.float32]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}

    def cuInit(self, Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803 (here and below: the names of CUDA)
        assert Flags == 0
        self.fake.init()
        return (Result.CUDA_SUCCESS,)

    def cuDeviceGet(self, ordinal: int) -> tuple[Any, ...]:  # noqa: N802
        return Result.CUDA_SUCCESS, self.fake.Device(ordinal)

    def cuDevicePrimaryCtxRetain(self, dev: Any) -> tuple[Any, ...]:  # noqa: ANN401, N802
        return Result.CUDA_SUCCESS, dev.retain_primary_context()

    def cuCtxPushCurrent(self, ctx: Any) -> tuple[Any, ...]:  # noqa: ANN401, N802
        ctx.push()
        return (Result.CUDA_SUCCESS,)

    def cuCtxPopCurrent(self) -> tuple[Any, ...]:  # noqa: N802
        return Result.CUDA_SUCCESS, self.fake.stack().pop()

    def cuStreamCreate(self, Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert Flags == 0
        return self._result("cuStreamCreate"), STREAM_HANDLE

    def cuStreamSynchronize(self, hStream: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert hStream == STREAM_HANDLE
        return (self._result("cuStreamSynchronize"),)

    def cuMemHostAlloc(self, bytesize: int, Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert Flags in (0, DEVICEMAP)
        store = np.zeros(bytesize // FLOAT_BYTES, np.float32)
        self.host[store.ctypes.data] = store
        return self._result("cuMemHostAlloc"), store.ctypes.data

    def cuMemHostGetDevicePointer(self, p: int, Flags: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert Flags == 0
        return self._result("cuMemHostGetDevicePointer"), self.fake.adopt(self.host[p])

    def cuMemFreeHost(self, p: int) -> tuple[Any, ...]:  # noqa: N802
        del self.host[p]
        return (self._result("cuMemFreeHost"),)

    def cuMemAlloc(self, bytesize: int) -> tuple[Any, ...]:  # noqa: N802
        if bytesize > self.fake.free_bytes:
            return Result.CUDA_ERROR_OUT_OF_MEMORY, None
        return self._result("cuMemAlloc"), self.fake.adopt(np.zeros(bytesize // FLOAT_BYTES, np.float32))

    def cuMemFree(self, dptr: int) -> tuple[Any, ...]:  # noqa: N802
        del self.fake.device_memory[dptr]
        return (self._result("cuMemFree"),)

    def cuMemcpyHtoDAsync(  # noqa: N802
        self,
        dstDevice: int,  # noqa: N803
        srcHost: int,  # noqa: N803
        ByteCount: int,  # noqa: N803
        hStream: int,  # noqa: N803
    ) -> tuple[Any, ...]:
        assert hStream == STREAM_HANDLE
        device = self.fake.device_memory[dstDevice].ctypes.data
        self.fake.enqueue(lambda: self._copy(device, srcHost, ByteCount))
        return (self._result("cuMemcpyHtoDAsync"),)

    def cuMemcpyDtoHAsync(  # noqa: N802
        self,
        dstHost: int,  # noqa: N803
        srcDevice: int,  # noqa: N803
        ByteCount: int,  # noqa: N803
        hStream: int,  # noqa: N803
    ) -> tuple[Any, ...]:
        assert hStream == STREAM_HANDLE
        device = self.fake.device_memory[srcDevice].ctypes.data
        self.fake.enqueue(lambda: self._copy(dstHost, device, ByteCount))
        return (self._result("cuMemcpyDtoHAsync"),)

    def cuStreamBeginCapture(self, hStream: int, mode: CaptureMode) -> tuple[Any, ...]:  # noqa: N802, N803
        assert hStream == STREAM_HANDLE
        assert mode is CaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        assert self.fake.captured is None
        self.fake.captured = []
        return (self._result("cuStreamBeginCapture"),)

    def cuStreamEndCapture(self, hStream: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert hStream == STREAM_HANDLE
        captured, self.fake.captured = self.fake.captured, None
        return self._result("cuStreamEndCapture"), captured

    def cuGraphInstantiate(self, hGraph: Any, flags: int) -> tuple[Any, ...]:  # noqa: ANN401, N802, N803
        assert flags == 0
        handle = 1 + max(self.graphs, default=0)
        self.graphs[handle] = list(hGraph)
        return self._result("cuGraphInstantiate"), handle

    def cuGraphLaunch(self, hGraphExec: int, hStream: int) -> tuple[Any, ...]:  # noqa: N802, N803
        assert hStream == STREAM_HANDLE
        for work in self.graphs[hGraphExec]:
            work()
        return (self._result("cuGraphLaunch"),)

    def cuGraphDestroy(self, hGraph: Any) -> tuple[Any, ...]:  # noqa: ANN401, N802, N803
        hGraph.clear()
        return (self._result("cuGraphDestroy"),)

    def cuGraphExecDestroy(self, hGraphExec: int) -> tuple[Any, ...]:  # noqa: N802, N803
        del self.graphs[hGraphExec]
        return (self._result("cuGraphExecDestroy"),)

    def cuGetErrorString(self, error: Result) -> tuple[Any, ...]:  # noqa: N802
        return Result.CUDA_SUCCESS, error.name.lower().replace("_", " ").encode()

    @staticmethod
    def _copy(to: int, begin: int, n_bytes: int) -> None:
        ctypes.memmove(to, begin, n_bytes)

    def _result(self, call: str) -> Result:
        """The error of the driver on a thread without a context."""
        self.fake.log.append(call)
        return Result.CUDA_SUCCESS if self.fake.stack() else Result.CUDA_ERROR_INVALID_CONTEXT
