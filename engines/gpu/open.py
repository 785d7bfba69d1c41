"""Open the CUDA device through whichever Python binding is installed."""

from parfocal.engines.errors import BuildFailed, EngineError, one_line
from parfocal.engines.gpu.cuda_memory import CudaMemory


def open_memory(*, zero_copy: bool) -> CudaMemory:
    """Open the device through pycuda, or where that is not there through cuda-bindings.

    Raises:
        BuildFailed: neither is there, or the device refuses.
    """
    try:
        import pycuda.driver as cuda
    except ImportError as no_pycuda:
        try:
            from parfocal.engines.gpu.cuda_bindings import BindingsMemory
        except ImportError as no_bindings:
            raise BuildFailed(
                f"use of the CUDA device failed: neither pycuda ({one_line(no_pycuda)}) nor cuda-bindings "
                f"({one_line(no_bindings)}) can be imported. Install one: `pip install pycuda`, which wants the "
                "CUDA toolkit's nvcc on the PATH, or `pip install cuda-bindings` of the driver's CUDA version."
            ) from no_bindings
        try:
            return BindingsMemory(zero_copy=zero_copy)
        except EngineError as error:
            raise BuildFailed(f"use of the CUDA device failed: {error}") from error
    return CudaMemory(cuda, zero_copy=zero_copy)
