"""Tissue in other stains than the sample of the demo is focused as well, in a clone without any data too."""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.cli import app as cli
from parfocal.edge.scan.report import RunReport

pytest.importorskip("skimage", reason="the demo extra, with the sample tissue, is not installed")

from tests import stains

# A small camera renders six times faster.
SMALL_AND_SHORT = "[camera]\nwidth_px = 452\nheight_px = 452\n[focus]\nfirst_sweep_step_um = 6.25\n"


@pytest.mark.parametrize("stained", [stains.h_and_e, stains.faint], ids=lambda stained: stained.__name__)
def test_a_slide_of_another_stain_is_focused_within_the_depth_of_field(
    stained: Callable[[], NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("slide.png", cv2.cvtColor(stained(), cv2.COLOR_RGB2BGR))
    Path("parfocal.toml").write_text(SMALL_AND_SHORT)
    asked = "focus --sim --slide slide.png --um-per-px 0.5 --fields 4 --json run.json"
    monkeypatch.setattr(sys, "argv", ["parfocal", *asked.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    report = msgspec.json.decode(Path("run.json").read_bytes(), type=RunReport)
    judged = [field for field in report.fields if field.outcome != "blank"]
    assert len(judged) >= 3
    for field in judged:
        assert field.outcome == "focused"
        assert field.error_um is not None
        assert abs(field.error_um) <= 0.8  # dastidar2020 2.2.1
