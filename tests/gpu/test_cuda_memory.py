"""Context, stream and buffers on a real device, without TensorRT."""

import threading
from typing import Any

import numpy as np
import pytest

from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu.cuda_memory import Buffer, CudaMemory
from parfocal.engines.gpu.cuda_probe import CudaDevice
from parfocal.engines.gpu.open import open_memory


def real_pycuda() -> Any:  # noqa: ANN401 (untyped)
    """Return pycuda.driver, or skip the test if it cannot be imported."""
    return pytest.importorskip(
        "pycuda.driver", reason="pycuda not installed: tools/gpu_check.sh builds it", exc_type=ImportError
    )


def there_and_back(memory: CudaMemory) -> bool:
    """Send an array to the device, clear it here, and fetch it again."""
    values = np.random.default_rng(1).normal(size=(4, 3, 224, 224)).astype(np.float32)
    with memory.current():
        buffer = memory.buffer(values.shape, np.float32)
        np.copyto(buffer.host, values)
        memory.upload(buffer)
        memory.synchronize()
        if buffer.device is not None:
            buffer.host[...] = 0.0
        memory.download(buffer)
        memory.synchronize()
        return bool(np.array_equal(buffer.host, values))


def test_device_is_described(device: CudaDevice) -> None:
    assert device.name
    assert float(device.sm) >= 5.0
    assert float(device.driver) >= 11.0


@pytest.mark.parametrize("zero_copy", [False, True])
def test_data_survives_a_round_trip_to_the_device(memory: CudaMemory, zero_copy: bool) -> None:
    del memory  # requested so that the test skips without one
    assert there_and_back(open_memory(zero_copy=zero_copy))


@pytest.mark.parametrize("zero_copy", [False, True])
def test_data_survives_a_round_trip_through_cuda_bindings(device: CudaDevice, zero_copy: bool) -> None:
    del device  # requested so that the test skips without one
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings not installed")
    from parfocal.engines.gpu.cuda_bindings import BindingsMemory

    assert there_and_back(BindingsMemory(zero_copy=zero_copy))


def repeated(memory: CudaMemory) -> bool:
    """Send values to the device and back into other memory, several times through one `repeatable`."""
    with memory.current():
        given, other = (memory.buffer((4, 3, 224, 224), np.float32) for _ in range(2))
        echo = Buffer(other.host, given.address, given.device)

        def enqueue() -> None:
            memory.upload(given)
            memory.download(echo)

        launch = memory.repeatable(enqueue)
        for value in (1.0, 2.0, 3.0):
            given.host[...] = value
            launch()
            memory.synchronize()
            if not np.all(echo.host == value):
                return False
    return True


def test_repeated_work_uses_new_values(memory: CudaMemory) -> None:
    del memory  # requested so that the test skips without one
    assert repeated(open_memory(zero_copy=False))


def test_cuda_bindings_repeat_work_as_a_graph(device: CudaDevice) -> None:
    del device  # requested so that the test skips without one
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings not installed")
    from parfocal.engines.gpu.cuda_bindings import BindingsMemory

    assert repeated(BindingsMemory(zero_copy=False))


def test_another_thread_can_use_the_same_context(memory: CudaMemory) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(there_and_back(memory)))
    thread.start()
    thread.join()
    assert found == [True]
    assert there_and_back(memory)


def test_no_context_is_left_current(memory: CudaMemory) -> None:
    cuda = real_pycuda()
    assert there_and_back(memory)
    assert cuda.Context.get_current() is None


def test_too_large_allocation_is_an_engine_error(memory: CudaMemory) -> None:
    cuda = real_pycuda()
    with pytest.raises(BuildFailed, match="out of memory"), memory.current():
        cuda.mem_alloc(2**50)


def test_stream_has_a_handle_for_tensorrt(memory: CudaMemory) -> None:
    assert memory.stream_handle != 0
