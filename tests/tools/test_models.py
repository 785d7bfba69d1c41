"""Making models goes on where it stopped, and makes anew what a change concerns."""

import os
from pathlib import Path

import pytest

from parfocal.engines.model.shipped import model_path
from tools import models
from tools.models import Stage, digest_of, run_stage, stages


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose program counts how often it ran."""
    (tmp_path / "program.py").write_text(
        "import sys\nfrom pathlib import Path\nout = Path(sys.argv[1])\n"
        "out.write_text(out.read_text() + 'x' if out.exists() else 'x')\n"
        "sys.exit(int(Path(sys.argv[2]).read_text()))\n"
    )
    (tmp_path / "input").write_text("0")
    monkeypatch.setattr(models, "ROOT", tmp_path)
    monkeypatch.setattr(models, "PROGRAMS", ())
    out, given = tmp_path / "out", tmp_path / "input"
    return Stage("a stage", ("program", str(out), str(given)), (given,), out)


def test_a_stage_that_succeeded_is_not_run_again_and_a_changed_input_runs_it(
    stage: Stage, tmp_path: Path
) -> None:
    assert [run_stage(stage, tmp_path / "done") for _ in range(2)] == [True, False]
    os.utime(stage.inputs[0], ns=(1, 1))
    assert run_stage(stage, tmp_path / "done")
    assert stage.output.read_text() == "xx"


def test_a_stage_that_failed_is_run_again(stage: Stage, tmp_path: Path) -> None:
    stage.inputs[0].write_text("3")
    for _ in range(2):
        with pytest.raises(SystemExit, match="a stage failed: see the error above"):
            run_stage(stage, tmp_path / "done")
    assert stage.output.read_text() == "xx"


@pytest.mark.parametrize("model", models.SHIPPED)
def test_a_stage_reads_only_what_exists_or_an_earlier_one_wrote(model: str, tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    there = {tiles, *map(model_path, models.SHIPPED)}
    made = stages(model, tiles, tmp_path / "out", models.LIGHT)
    for one in made:
        assert set(one.inputs) <= there
        there.add(one.output)
    assert len({digest_of(one) for one in made[:1] for _ in range(2)}) == 1
