"""Compiles the firmware of `board/firmware` into a shared library and loads it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from parfocal.board.errors import BoardNotFound

SOURCES = Path(__file__).resolve().parents[2] / "firmware"
_FLAGS = ("-std=c11", "-O2", "-shared", "-fPIC")
_VOID, _INT, _U32, _U64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_uint64

# The calls that the library makes: hal.h and host/virtual.h. With `PYFUNCTYPE` the interpreter's lock stays held.
STEPS = ctypes.PYFUNCTYPE(_U32, _VOID, _INT, _INT, ctypes.POINTER(_U64), _INT)
IS_PRESSED = ctypes.PYFUNCTYPE(_INT, _VOID, _INT, _INT, _U64)
CONTACT = ctypes.PYFUNCTYPE(ctypes.c_uint, _VOID, _INT, _INT, _U64)
MOTOR = ctypes.PYFUNCTYPE(None, _VOID, _INT, _INT, _U64)
LAMP = ctypes.PYFUNCTYPE(None, _VOID, ctypes.c_uint, _U64)
LENS = ctypes.PYFUNCTYPE(None, _VOID, ctypes.c_int32, _U64)
TRIGGER = ctypes.PYFUNCTYPE(None, _VOID, _U64)
WRITE = ctypes.PYFUNCTYPE(None, _VOID, _VOID, _INT, _U64)


class Outside(ctypes.Structure):
    """`pf_outside` of host/virtual.h."""

    _fields_ = (
        ("steps", STEPS),
        ("is_pressed", IS_PRESSED),
        ("contact", CONTACT),
        ("motor", MOTOR),
        ("lamp", LAMP),
        ("lens", LENS),
        ("trigger", TRIGGER),
        ("write", WRITE),
    )


class AxisRow(ctypes.Structure):
    """`pf_axis_config` of board.h."""

    _fields_ = (
        ("max_steps", ctypes.c_int32),
        ("max_speed", _U32),
        ("max_accel", _U32),
        ("jog_steps", _U32),
        ("jog_speed", _U32),
        ("no_torque", _U32),
        ("from_rest", _U32),
        ("switch_steps", ctypes.c_int32),
        ("whole_steps", _U32),
        ("edge_steps", _U32),
        ("off_steps", _U32),
        ("bounce_us", _U32),
    )


class BoardRow(ctypes.Structure):
    """`pf_config` of board.h."""

    _fields_ = (
        ("axis", AxisRow * 3),
        ("features", ctypes.c_uint16),
        ("lens_min_ua", ctypes.c_int32),
        ("lens_max_ua", ctypes.c_int32),
    )


def sources() -> list[Path]:
    """The C files of the library."""
    return [*sorted(SOURCES.glob("*.c")), SOURCES / "host" / "virtual.c"]


@functools.cache
def firmware_library() -> ctypes.PyDLL:
    """The library, compiled unless the same sources were compiled before.

    Raises BoardNotFound where there is no C compiler or the sources do not compile.
    """
    library = ctypes.PyDLL(str(_compiled()))
    library.pf_virtual_new.restype = _VOID
    library.pf_virtual_new.argtypes = (
        ctypes.POINTER(BoardRow), ctypes.POINTER(Outside), _VOID, _U64, _U32, _U32, _INT,
    )  # fmt: skip
    library.pf_virtual_hand_over.argtypes = (_VOID,)
    library.pf_virtual_free.argtypes = (_VOID,)
    library.pf_virtual_reset.argtypes = (_VOID, _U32, ctypes.c_uint8)
    library.pf_virtual_advance.argtypes = (_VOID, _U64)
    library.pf_virtual_keep_busy.argtypes = (_VOID, _U64)
    library.pf_virtual_next_event_us.restype = _U64
    library.pf_virtual_next_event_us.argtypes = (_VOID,)
    library.pf_virtual_receive.argtypes = (_VOID, ctypes.c_char_p, _INT)
    library.pf_virtual_drop_input.argtypes = (_VOID,)
    library.pf_virtual_press_estop.argtypes = (_VOID, _INT)
    library.pf_virtual_state.argtypes = (_VOID, ctypes.c_char_p)
    library.pf_virtual_inside.restype = _U32
    library.pf_virtual_inside.argtypes = (_VOID, _INT)
    library.pf_virtual_set_inside.argtypes = (_VOID, _INT, _U32)
    return library


def _compiled() -> Path:
    """Path of the library for these sources, in the user's cache."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise BoardNotFound(
            "the firmware was not built: no C compiler `cc` here. Install one, or use the stub board."
        )
    files = [*sources(), *sorted(SOURCES.rglob("*.h"))]
    key = hashlib.sha256(b"\0".join([*(file.read_bytes() for file in files), " ".join(_FLAGS).encode()]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parfocal" / "firmware"
    library = cache / f"board-{key.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / library.name
            command = [compiler, *_FLAGS, "-o", str(made), *map(str, sources())]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            if built.returncode:
                raise BoardNotFound(
                    f"the firmware was not built: {' '.join(command)} failed:\n{built.stderr}"
                )
            made.replace(library)  # whole or not at all, whoever else builds it now
    except OSError as error:
        raise BoardNotFound(f"the firmware was not built in {cache}: {error}. Set XDG_CACHE_HOME.") from error
    return library
