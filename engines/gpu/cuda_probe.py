"""Find the CUDA device through the driver, before TensorRT is imported.

Creating a TensorRT runtime without a driver ends the whole process, so this check comes first.
"""

import ctypes
import os
import re
from pathlib import Path
from typing import Final, Protocol

import msgspec

from parfocal.engines.errors import BuildFailed

LIBRARY: Final = "libcuda.so.1"
# Constants of the CUDA driver API (cuda.h), unchanged since CUDA 5.
COMPUTE_CAPABILITY_MAJOR: Final = 75
COMPUTE_CAPABILITY_MINOR: Final = 76
INTEGRATED: Final = 18
NAME_BYTES: Final = 256
# Device nodes that a process opens: on a desktop card, and on a Jetson with JetPack 5, 6 or 7.
DEVICE_NODES: Final = tuple(
    Path(f"/dev/{name}") for name in ("nvidiactl", "nvidia0", "nvmap", "nvhost-gpu", "nvhost-ctrl-gpu")
)
L4T_RELEASE: Final = Path("/etc/nv_tegra_release")
DRIVER_RELEASE: Final = Path("/proc/driver/nvidia/version")


class CudaDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The first CUDA device of this machine.

    Attributes:
        name: name that the driver reports, "Orin".
        sm: compute capability, "8.7".
        driver: CUDA version that the driver supports, "12.6".
        is_integrated: whether it shares its memory with the CPU, as on a Jetson.
        l4t: first line of the Linux for Tegra release, "" on other machines.
        release: version of the driver, "560.35.03"; "" if the kernel does not report it (a Jetson has `l4t`).
    """

    name: str
    sm: str
    driver: str
    is_integrated: bool
    l4t: str
    release: str = ""


class Driver(Protocol):
    """The functions of libcuda that are used here. Each returns a CUresult; 0 means success."""

    def cuInit(self, flags: int) -> int: ...  # noqa: D102, N802
    def cuDriverGetVersion(self, version: object) -> int: ...  # noqa: D102, N802
    def cuDeviceGet(self, device: object, ordinal: int) -> int: ...  # noqa: D102, N802
    def cuDeviceGetName(self, name: object, n_bytes: int, device: object) -> int: ...  # noqa: D102, N802
    def cuDeviceGetAttribute(self, value: object, attribute: int, device: object) -> int: ...  # noqa: D102, N802


def load_driver() -> Driver:
    """Load libcuda.

    Raises:
        BuildFailed: there is no NVIDIA driver.
    """
    try:
        driver: Driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise BuildFailed(
            f"use of a CUDA device failed: {LIBRARY} cannot be loaded, so no NVIDIA driver is installed. "
            "Install it, or build for the CPU: `parfocal engine build --backend openvino`."
        ) from error
    return driver


def probe(driver: Driver | None = None) -> CudaDevice:
    """Return the first CUDA device.

    Raises:
        BuildFailed: there is no driver, no device, or no permission to open it.
    """
    driver = driver or load_driver()
    result = driver.cuInit(0)
    if result:
        raise BuildFailed(f"use of a CUDA device failed: {_why(result)}")
    device, version = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(NAME_BYTES)
    for result in (
        driver.cuDriverGetVersion(ctypes.byref(version)),
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, NAME_BYTES, device),
    ):
        if result:
            raise BuildFailed(f"use of a CUDA device failed: {_why(result)}")
    major, minor, integrated = (
        _attribute(driver, device, which)
        for which in (COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR, INTEGRATED)
    )
    return CudaDevice(
        name=name.value.decode(errors="replace"),
        sm=f"{major}.{minor}",
        driver=f"{version.value // 1000}.{version.value % 1000 // 10}",
        is_integrated=bool(integrated),
        l4t=l4t_release(),
        release=driver_release(),
    )


def l4t_release(path: Path = L4T_RELEASE) -> str:
    """Return the first line of the release file of a Jetson, without its comment sign; "" on other machines."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].lstrip("# ")
    except (OSError, IndexError):
        return ""


def driver_release(path: Path = DRIVER_RELEASE) -> str:
    """Return the version of the NVIDIA kernel module; "" if it does not report one."""
    try:
        first_line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return ""
    found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", first_line)
    return found[1] if found else ""


def _attribute(driver: Driver, device: ctypes.c_int, which: int) -> int:
    value = ctypes.c_int()
    result = driver.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    if result:
        raise BuildFailed(f"use of a CUDA device failed: {_why(result)}")
    return value.value


def _why(result: int) -> str:
    """Return what an error code of the driver means. Missing permission on a device node is the likeliest cause."""
    closed = [str(node) for node in DEVICE_NODES if node.exists() and not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return (
            f"no permission on {', '.join(closed)} (CUDA error {result}). Add the user to the group that owns "
            "it, on a Jetson `sudo usermod -aG video $USER`, and log in again."
        )
    if result == 100:
        return (
            "the driver finds no device (CUDA error 100). Check the card with `nvidia-smi` or `tegrastats`."
        )
    return (
        f"the driver reports CUDA error {result}. Check that it matches the kernel (`nvidia-smi`), or reboot."
    )
