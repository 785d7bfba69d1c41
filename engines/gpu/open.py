"""Open the CUDA device through whichever Python binding is installed."""

from parfocal.engines.errors import BuildFailed, EngineError, one_line
from parfocal.engines.gpu.cuda_memory import CudaMemory


def open_memory(*, zero_copy: bool) -> CudaMemory:
    """Open the device through pycuda, or through cuda-bindings if pycuda is not installed.

    Raises:
        BuildFailed: neither is installed, or the device could not be opened.
    """
    try:
        import pycuda.driver as cuda
    except ImportError as no_pycuda:
        try:
            from parfocal.engines.gpu.cuda_bindings import BindingsMemory
        except ImportError as no_bindings:
            raise BuildFailed(
                f"use of the CUDA device failed: neither pycuda ({one_line(no_pycuda)}) nor cuda-bindings "
                f"({one_line(no_bindings)}) can be imported. Install one: `pip install pycuda`, which needs nvcc "
                "of the CUDA toolkit on the PATH, or `pip install cuda-bindings` in the CUDA version of the driver."
            ) from no_bindings
        try:
            return BindingsMemory(zero_copy=zero_copy)
        except EngineError as error:
            raise BuildFailed(f"use of the CUDA device failed: {error}") from error
    return CudaMemory(cuda, zero_copy=zero_copy)
