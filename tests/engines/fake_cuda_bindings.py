"""A stand-in for cuda.bindings.driver over the memory of `FakeCuda`: calls that return a result and values."""

import ctypes
import enum
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.engines.fake_cuda import DEVICEMAP, STREAM_HANDLE, FakeCuda

FLOAT_BYTES = 4


class Result(enum.IntEnum):
    """Those that the tests bring about."""

    CUDA_SUCCESS = 0
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_INVALID_CONTEXT = 201


class FakeBindings(ModuleType):
    """One device. `host` is page-locked memory by address; what is freed is gone from it and from the device's."""

    CUresult = Result
    CU_MEMHOSTALLOC_DEVICEMAP = DEVICEMAP

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__("cuda.bindings.driver")
        self.fake = cuda
        self.driver = self  # `from cuda.bindings import driver` finds it in the package
        self.host: dict[int, NDArray[np.float32]] = {}

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
        ctypes.memmove(self.fake.device_memory[dstDevice].ctypes.data, srcHost, ByteCount)
        return (self._result("cuMemcpyHtoDAsync"),)

    def cuMemcpyDtoHAsync(  # noqa: N802
        self,
        dstHost: int,  # noqa: N803
        srcDevice: int,  # noqa: N803
        ByteCount: int,  # noqa: N803
        hStream: int,  # noqa: N803
    ) -> tuple[Any, ...]:
        assert hStream == STREAM_HANDLE
        ctypes.memmove(dstHost, self.fake.device_memory[srcDevice].ctypes.data, ByteCount)
        return (self._result("cuMemcpyDtoHAsync"),)

    def cuGetErrorString(self, error: Result) -> tuple[Any, ...]:  # noqa: N802
        return Result.CUDA_SUCCESS, error.name.lower().replace("_", " ").encode()

    def _result(self, call: str) -> Result:
        """What the driver says where the thread has no context."""
        self.fake.log.append(call)
        return Result.CUDA_SUCCESS if self.fake.stack() else Result.CUDA_ERROR_INVALID_CONTEXT
