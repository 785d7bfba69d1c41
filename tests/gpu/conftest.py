"""These tests need a CUDA device. Without one they skip and say what is missing."""

import pytest

from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu.cuda_memory import CudaMemory
from parfocal.engines.gpu.cuda_probe import CudaDevice, probe
from parfocal.engines.gpu.open import open_memory


@pytest.fixture(scope="session")
def device() -> CudaDevice:
    """The CUDA device of this machine."""
    try:
        return probe()
    except BuildFailed as error:
        pytest.skip(str(error))


@pytest.fixture
def memory(device: CudaDevice) -> CudaMemory:
    """Memory on the device, through the real pycuda or cuda-bindings."""
    try:
        return open_memory(zero_copy=device.is_integrated)
    except BuildFailed as error:
        # Only a missing package skips. A device that does not open is a failure.
        if not isinstance(error.__cause__, ImportError):
            raise
        pytest.skip(str(error))
