"""What tests of the commands type: slides and configurations in a folder."""

from collections.abc import Callable
from pathlib import Path

import cv2

from parfocal.edge.pixels import UInt8Array

Run = Callable[..., tuple[int, str, str]]

SHORT_SWEEP = "[focus]\nfirst_sweep_step_um = 6.25\n"
SMALL_CAMERA = "[camera]\nwidth_px = 452\nheight_px = 452\n"


def configured(tmp_path: Path, text: str) -> Path:
    """A configuration with a small camera, followed by `text`."""
    path = tmp_path / "instrument.toml"
    path.write_text(SMALL_CAMERA + text)
    return path


def image(tmp_path: Path, pixels: UInt8Array) -> Path:
    """An image (h, w, 3) to use as a slide."""
    path = tmp_path / "slide.png"
    cv2.imwrite(str(path), pixels)
    return path
