"""What `parfocal evaluate` prints, and that it takes the folder that `parfocal record` wrote."""

import io
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from parfocal.edge.cli import app as cli
from parfocal.edge.cli.evaluate import _show
from parfocal.edge.stacks.judging.results import Evaluation, Figures, StackResult
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.stacks.write import write_stack
from tests.edge.scope import tissue

FIGURES = Figures(
    planes=29,
    mean_um=0.11,
    sd_um=0.07,
    median_um=0.10,
    bias_um=-0.05,
    mean_per_depth_of_field=0.1,
    within_depth_of_field=1.0,
    wrong_sign=0.0,
    accepted=1.0,
    accepted_mean_um=0.11,
)


def shown(figures: Figures, width: int = 80) -> str:
    """What is printed of two stacks, on a terminal of `width` columns."""
    out = io.StringIO()
    stacks = tuple(
        StackResult(f"stacks/field-000{n}.ome.tiff", 100.0, "stack", None, figures, ()) for n in (1, 2)
    )
    result = Evaluation("m", 0.96, 10.0, figures, (), stacks)
    _show(Console(file=out, width=width), result)
    return out.getvalue()


def test_names_of_recorded_stacks_are_shown_in_full_on_80_columns() -> None:
    table = shown(FIGURES).partition("All stacks")[0]
    assert "field-0001.ome.tiff " in table
    assert "field-0002.ome.tiff " in table
    assert max(map(len, table.splitlines())) <= 80


def test_names_lose_their_ending_before_they_are_folded() -> None:
    far = msgspec.structs.replace(FIGURES, mean_um=10.11, sd_um=10.07, wrong_sign=1.0)
    table = shown(far).partition("All stacks")[0]
    assert "field-0001 " in table
    assert "ome" not in table
    assert "10.11 +- 10.07" in table


def test_the_folder_of_a_recording_means_all_its_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("field-0002.ome.tiff", "field-0001.ome.tiff"):
        write_stack(Stack(tmp_path / name, (0.0, 2.0, 4.0), (tissue(600),) * 3, 0.345, 2.0))
    out = tmp_path / "r.json"
    monkeypatch.setattr(sys, "argv", ["parfocal", "evaluate", str(tmp_path), "--json", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, capsys.readouterr().err
    evaluation = msgspec.json.decode(out.read_bytes(), type=Evaluation)
    assert [Path(stack.stack).name for stack in evaluation.stacks] == [
        "field-0001.ome.tiff",
        "field-0002.ome.tiff",
    ]
