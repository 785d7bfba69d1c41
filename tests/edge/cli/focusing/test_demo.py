"""`parfocal demo`: the files it writes, and what it refuses."""

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import msgspec
import pytest
from rich.console import Console

from parfocal.board.stub.config import StubConfig
from parfocal.edge.cli.focusing import demo
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.report import RunReport
from parfocal.edge.simscope import bench
from parfocal.edge.simscope.bench import in_virtual_time, sample_from
from tests.edge.scope import small_for_models, tissue, with_focus

# Not imported: that takes a third of a second in each process of the suite.
if importlib.util.find_spec("matplotlib") is None:
    pytest.skip("the demo extra is not installed", allow_module_level=True)


@pytest.fixture
def in_virtual_time_at_a_drawn_slide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The demo with a small camera, in virtual time instead of at a stub process."""
    config = with_focus(
        small_for_models(Config()),
        first_sweep_start_um=2420.0,
        first_sweep_stop_um=2580.0,
        first_sweep_step_um=6.25,
    )
    slide = tmp_path / "slide.png"
    cv2.imwrite(str(slide), tissue())
    monkeypatch.setattr(demo, "_config_at", lambda _port: config)
    monkeypatch.setattr(demo, "stub_process", lambda _link, _board: contextlib.nullcontext())
    monkeypatch.setattr(bench, "sample_from", lambda *_: sample_from(slide, 0.345, config, 1))
    monkeypatch.setattr(
        bench, "at_stub", lambda sample, config: in_virtual_time(sample, config, StubConfig())
    )


@pytest.mark.usefixtures("in_virtual_time_at_a_drawn_slide")
def test_the_demo_leaves_a_picture_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "demo"
    demo.run_demo(out, 1, 1, Console())
    assert {path.name for path in out.iterdir()} == {"focus.png", "focus.json"}
    assert cv2.imread(str(out / "focus.png")) is not None
    report = msgspec.json.decode((out / "focus.json").read_bytes(), type=RunReport)
    assert [field.outcome for field in report.fields] == ["focused"]
    assert "picture: " in capsys.readouterr().out


@pytest.mark.usefixtures("in_virtual_time_at_a_drawn_slide")
def test_without_tissue_the_report_is_kept_and_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "focus_fields", lambda *_arguments, **_named: ([], 0, 0.0))
    with pytest.raises(ConfigError, match="Give more --fields"):
        demo.run_demo(tmp_path / "demo", 1, 1, Console())
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"focus.json"}


@pytest.mark.usefixtures("in_virtual_time_at_a_drawn_slide")
def test_a_report_that_cannot_be_written_at_the_end_names_the_option_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "focus_fields", lambda *_arguments, **_named: ([], 0, 0.0))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device. Give another --out path"):
        demo.run_demo(tmp_path / "demo", 1, 1, Console())


def test_matplotlib_prints_nothing_without_a_home(tmp_path: Path) -> None:
    homeless = {**os.environ, "HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        homeless.pop(name, None)
    drawing = "from parfocal.edge.cli.showing.drawing import import_matplotlib as i"
    # It looks for its folders when a picture is drawn, which first lists all fonts.
    program = f"{drawing}; i('x'); import matplotlib; matplotlib.get_cachedir()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=homeless, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def refuse(*_arguments: object, **_named: object) -> None:
    raise AssertionError("started")


@pytest.mark.parametrize("place", ["taken", "taken/demo", "/proc/none"])
def test_an_unwritable_folder_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "taken").write_text("a file of the user's")
    monkeypatch.setattr(demo, "stub_process", refuse)
    with pytest.raises(ConfigError, match="--out"):
        demo.run_demo(tmp_path / place, 1, 1, Console())
    assert (tmp_path / "taken").read_text() == "a file of the user's"


@pytest.mark.usefixtures("in_virtual_time_at_a_drawn_slide")
def test_a_demo_that_fails_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "focus_fields", refuse)
    with pytest.raises(AssertionError):
        demo.run_demo(tmp_path / "demo", 1, 1, Console())
    assert not (tmp_path / "demo").exists()


def test_ctrl_c_at_the_terminal_does_not_reach_the_stub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []

    class Noted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
            super().__init__(*arguments, **named)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with demo.stub_process(tmp_path / "board"):
        # A terminal sends Ctrl-C to its foreground process group, which is ours.
        assert os.getpgid(started[0].pid) != os.getpgid(0)
    assert started[0].poll() is not None
