"""What can go wrong with an engine, sorted by what the caller does next."""

from typing import Final

HOW_TO_REBUILD: Final = (
    "Run `parfocal engine build` (in a checkout: `make engine`), for a model of your own with its path."
)


class EngineError(Exception):
    """Root of all errors of this folder; no exception of a vendor library leaves it."""


class EngineStale(EngineError):
    """An engine was built for another model, device or driver: build it again.

    Example: the disk with the engines was moved to another Jetson.
    """


class BuildFailed(EngineError):
    """No engine can be made of this file: get an intact or another one.

    Example: a model that was cut off while it was copied.
    """


class OutOfMemory(BuildFailed):
    """The device had no memory left: close other programs on it and try again.

    Example: a browser runs on the Jetson while engines are built.
    """


class InputMismatch(EngineError):
    """The engine works, but not for what it was asked: choose another model or mend the input.

    Example: a model trained for delta_um = 3 in an instrument that takes its shots 2 um apart.
    """


def one_line(error: Exception) -> str:
    """Return the text of a vendor's exception, which often runs over many lines, as one line."""
    return " ".join(str(error).split())


def out_of_memory(said: str) -> OutOfMemory:
    """Return the error for a device that has no memory left."""
    return OutOfMemory(
        f"CUDA device out of memory: {said}. Close other programs on it, or take a smaller model."
    )


def call_failed(said: str) -> EngineError:
    """Return the error for a call that was refused."""
    return EngineError(f"CUDA call failed: {said}. Start the program again; if it stays, run `make engine`.")
