"""The errors of this folder, sorted by what the caller does next."""

from typing import Final

HOW_TO_REBUILD: Final = (
    "Run `parfocal engine build` (in a checkout: `make engine`); for your own model, add its path."
)


class EngineError(Exception):
    """Base of all errors of this folder. No exception of a vendor library leaves it."""


class EngineStale(EngineError):
    """The engine was built for another model, device or driver: build it again.

    Example: the disk with the engines was moved to another Jetson.
    """


class BuildFailed(EngineError):
    """No engine can be built from this file: use an intact copy or another model.

    Example: the model was cut off while it was copied.
    """


class OutOfMemory(BuildFailed):
    """The device ran out of memory: close other programs on it and try again.

    Example: a browser runs on the Jetson while engines are built.
    """


class InputMismatch(EngineError):
    """The engine works, but the input does not fit it: choose another model or correct the input.

    Example: the model was trained for delta_um = 3 and the instrument takes its shots 2 um apart.
    """


def one_line(error: Exception) -> str:
    """Return the text of a vendor's exception, often many lines long, as one line."""
    return " ".join(str(error).split())


def out_of_memory(said: str) -> OutOfMemory:
    """Return the error for a device that ran out of memory."""
    return OutOfMemory(
        f"CUDA device out of memory: {said}. Close other programs on it, or use a smaller model."
    )


def call_failed(said: str) -> EngineError:
    """Return the error for a CUDA call that failed."""
    return EngineError(
        f"CUDA call failed: {said}. Restart the program. If it fails again, rebuild the engines: "
        "`parfocal engine build`."
    )
