"""The programs in examples/ run, and print what they promise."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# A camera just large enough to judge focus by, and a short first sweep: seconds instead of half a minute.
SMALL = """
[camera]
width_px = 452
height_px = 452
[focus]
first_sweep_start_um = 2440.0
first_sweep_stop_um = 2560.0
"""


def output_of(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What an example prints when it is run in `folder`, with a small camera."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    (folder / "parfocal.toml").write_text(SMALL)
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "board_only.py", "focus_a_row.py", "focus_one_field.py", "sharpness_curve.py",
    }  # fmt: skip


def test_one_field_is_focused_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = output_of("focus_one_field.py", tmp_path, monkeypatch, capsys)
    assert told.startswith("FieldResult(focused at x=20000 y=10000 z=")
    assert (tmp_path / "field.png").read_bytes().startswith(b"\x89PNG")


def test_a_row_of_fields_is_focused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = output_of("focus_a_row.py", tmp_path, monkeypatch, capsys).splitlines()
    assert len(lines) == 5
    assert sum("focus at z=" in line for line in lines) >= 4


def test_the_sharpness_curve_peaks_at_the_focus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = output_of("sharpness_curve.py", tmp_path, monkeypatch, capsys).splitlines()
    heights_um = [float(line.split()[0]) for line in lines]
    sharpness = [line.count("#") for line in lines]
    assert len(lines) == 13
    assert abs(heights_um[sharpness.index(50)]) <= 1.0
    assert max(sharpness[0], sharpness[-1]) < 25


def test_the_board_alone_arrives_where_it_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = output_of("board_only.py", tmp_path, monkeypatch, capsys).splitlines()
    assert lines[0].startswith("asked for 100 um: commanded 100.00 um, true 100.")
    assert "refused: limit is" in lines[-1]
