"""Libraries that come with the system and are reached through PyGObject. The only user of `gi`."""

import contextlib
import ctypes
import importlib
from collections.abc import Mapping
from types import SimpleNamespace

from parfocal.edge.errors import CameraFailed


def from_system(wanted_by: str, library: str, packages: str, versions: Mapping[str, str]) -> SimpleNamespace:
    """The modules named in `versions`, each with its version, and GLib.

    `wanted_by`: what needs them; `library`: what a user calls them. Raises CameraFailed naming `packages`.
    """
    # GStreamer brings libunwind, whose functions have the names of those in libgcc. Whichever is loaded first serves
    # every C++ exception of the process; with half of each, the next one thrown by OpenVINO aborts or never ends.
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    try:
        gi = importlib.import_module("gi")
        for name, version in versions.items():
            gi.require_version(name, version)
        names = ("GLib", *versions)
        return SimpleNamespace(**{name: importlib.import_module(f"gi.repository.{name}") for name in names})
    except (ImportError, ValueError) as error:
        raise CameraFailed(
            f"{wanted_by} needs {library} for Python, which is missing ({error}). Install it with `apt install "
            f"{packages}`, and make the virtual environment with `--system-site-packages`."
        ) from error
