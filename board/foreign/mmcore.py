"""The core of Micro-Manager, which drives the devices of its own configuration file. The only user of `pymmcore`.

A core owns its devices, and a serial port has one owner. So stage and camera of one file share a core.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pymmcore import CMMCore

ANSWER_S = 10.0  # an adapter gives up on its device by itself, mostly after 0.5 to 5 s
_LOAD_S = 60.0  # some stages home while they are initialised
# Where the device adapters are, if not beside the configuration file; pymmcore-plus reads the same variable.
ADAPTERS_VARIABLE = "MICROMANAGER_PATH"

T = TypeVar("T")


class MicroManagerFailed(Exception):
    """Micro-Manager, or a device that it drives, has refused or failed. The message is its own."""


class MicroManagerHung(MicroManagerFailed):
    """A call into Micro-Manager has not returned. What it did is unknown."""


class SharedCore:
    """A core with its devices loaded. Every call has a deadline, since adapters may wait for a device without one."""

    def __init__(self, core: CMMCore, path: str) -> None:
        """Use `open_core`. `path`: of the configuration file."""
        self.core, self.path = core, path
        self.n_users = 0

    def ask(self, call: Callable[[], T], wall_s: float = ANSWER_S) -> T:
        """What `call` returns. Raises MicroManagerFailed with the device's words, MicroManagerHung."""
        return within(call, wall_s)

    def close(self) -> None:
        """Release the devices when nobody uses them any longer."""
        with _lock:
            self.n_users -= 1
            if self.n_users > 0:
                return
            _open.pop(self.path, None)
        with contextlib.suppress(MicroManagerFailed):  # the program ends, or opens another core
            within(self.core.unloadAllDevices, ANSWER_S)


def open_core(path: str) -> SharedCore:
    """The core that has loaded a Micro-Manager configuration file; the one that is open already, if there is one.

    Raises MicroManagerFailed.
    """
    file = Path(path)
    if not file.is_file():
        raise MicroManagerFailed(f"there is no Micro-Manager configuration {path}")
    whole = str(file.resolve())
    with _lock:
        found = _open.get(whole)
        if found is None:
            found = SharedCore(_loaded(file), whole)
            _open[whole] = found
        found.n_users += 1
        return found


def within(call: Callable[[], T], wall_s: float) -> T:
    """What `call` returns, if it does so within `wall_s` of wall time; else it is left alone in its thread."""
    box: queue.SimpleQueue[tuple[T] | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((call(),))
        except Exception as error:  # noqa: BLE001  # it is raised in the thread that asked
            box.put(error)

    threading.Thread(target=run, name="parfocal-micromanager", daemon=True).start()
    try:
        answer = box.get(timeout=wall_s)
    except queue.Empty:
        raise MicroManagerHung(f"Micro-Manager did not answer within {wall_s:g} s") from None
    if isinstance(
        answer, (RuntimeError, OSError, ValueError, MemoryError)
    ):  # what the core makes of its errors
        raise MicroManagerFailed(" ".join(str(answer).split()).rstrip(".")) from answer
    if isinstance(answer, Exception):
        raise answer
    return answer[0]


def _loaded(file: Path) -> CMMCore:
    try:
        from pymmcore import CMMCore
    except ImportError as error:
        raise MicroManagerFailed(
            f"pymmcore is missing ({error}). `pip install 'parfocal[mm]'`; there is none for arm64"
        ) from error
    core = CMMCore()
    core.setDeviceAdapterSearchPaths([os.environ.get(ADAPTERS_VARIABLE) or str(file.resolve().parent)])
    try:
        within(lambda: core.loadSystemConfiguration(str(file)), _LOAD_S)
    except MicroManagerFailed as error:
        raise MicroManagerFailed(
            f"{error}. Device adapters are looked for in the folder of the configuration, or in "
            f"${ADAPTERS_VARIABLE}"
        ) from error
    return core


_open: dict[str, SharedCore] = {}
_lock = threading.Lock()
