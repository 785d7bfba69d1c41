"""OpenCV's own log, which goes to stderr: what is wrong is told once, by our error."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2

SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep OpenCV quiet, unless OPENCV_LOG_LEVEL asks for its log by name."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        yield
        return
    set_level = _level_setter()
    before = set_level(SILENT)
    try:
        yield
    finally:
        set_level(before)


def _level_setter() -> Callable[[int], int]:
    """Sets the level and returns the one before. OpenCV 5 has it in a module of its own."""
    module: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
    return cast(Callable[[int], int], module.setLogLevel)
