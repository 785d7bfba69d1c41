"""Silences OpenCV's own log on stderr: our error already says what is wrong."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2

SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silence OpenCV's log during the block, unless OPENCV_LOG_LEVEL is set."""
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
    """The function that sets the log level and returns the previous one. OpenCV 5 has moved it."""
    module: Any = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
    return cast(Callable[[int], int], module.setLogLevel)
