"""`parfocal record`: what it prints and keeps, also when a run ends early."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parfocal.edge.cli import asked as cli_asked
from parfocal.edge.cli import record as cli_record
from parfocal.edge.config import Config, simulated_through
from parfocal.edge.errors import CameraFailed
from parfocal.edge.instrument import Instrument
from parfocal.edge.stacks.extent import Extent
from parfocal.edge.stacks.record import fits
from tests.edge.scope import Scope, with_camera
from tests.edge.stacks.test_record import USED, GivesUp, instrument, short_sweep


@pytest.fixture
def command(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`parfocal record` on the small virtual microscope; with `unplugged_by` a file, until that is there."""

    def recorded(out: Path, fields: int, json: Path, unplugged_by: Path | None = None) -> None:
        @contextlib.contextmanager
        def opened(
            _simulation: object, _config: object, virtual: bool, without_damaged: bool
        ) -> Iterator[Instrument]:
            assert (virtual, without_damaged) == (True, False)  # a wrong focus is worse than none
            yield instrument(scope, GivesUp(scope.camera, unplugged_by) if unplugged_by else None)

        monkeypatch.setattr(cli_asked, "configured", lambda *_: short_sweep(scope.config))
        monkeypatch.setattr(cli_asked, "opened_instrument", opened)
        cli_record.record(out, sim=True, fields=fields, reach_um=5.0, step_um=0.9375, json=json)

    return recorded


def test_fields_that_were_recorded_are_kept_in_the_result_when_a_run_ends_early(
    command: Callable[..., None], scope: Scope, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, result = tmp_path / "s", tmp_path / "r.json"
    with pytest.raises(CameraFailed):
        command(out, 2, result, unplugged_by=out / "field-0001.ome.tiff")
    kept = json.loads(result.read_text())
    assert [(done["file"], done["outcome"]) for done in kept["fields"]] == [
        ("field-0001.ome.tiff", "recorded")
    ]
    assert kept["incomplete"] == "CameraFailed: unplugged"
    assert f"1 field in {out}: 1 recorded, 0 kept, 0 no focus" in capsys.readouterr().out
    assert scope.bench.lamp_duty(scope.bench.clock.now_s()) == 0.0


def test_a_whole_recording_says_what_is_in_which_folder(
    command: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(tmp_path / "s", 2, Path("-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["calibration"]["id"] == USED.id
    assert (found["out"], len(found["fields"]), "incomplete" in found) == (str(tmp_path / "s"), 2, False)
    assert f"2 fields in {tmp_path / 's'}: 2 recorded" in printed.err
    assert "2 fields of 11 planes: 2 MB per field, 4 MB in all" in printed.err


@pytest.mark.parametrize(
    ("objective", "reach_um", "step_um"),
    [("20x/0.75", 12.5, 0.625), ("40x/0.65", 31.25, 1.5625), ("10x/0.3", 45.0, 5.0)],
)
def test_a_stack_reaches_beyond_the_range_of_the_model_and_has_its_pairs(
    objective: str, reach_um: float, step_um: float
) -> None:
    settings = simulated_through(objective, Config())
    extent = cli_record._extent(settings, None, None)
    assert extent.height_um / 2.0 == pytest.approx(reach_um)
    assert extent.step_um == pytest.approx(step_um)
    assert fits(extent, settings.camera)


def test_default_stack_of_a_small_camera_is_as_fine_as_its_objective_asks_for() -> None:
    settings = simulated_through("40x/0.65", Config())
    extent = cli_record._extent(with_camera(settings, width_px=1224, height_px=1024), None, None)
    assert extent == Extent(0.625, 105)


def test_what_was_asked_for_is_recorded_through_any_objective() -> None:
    settings = simulated_through("10x/0.3", Config())
    assert cli_record._extent(settings, 20.0, 2.5) == Extent(2.5, 17)
    assert cli_record._extent(settings, 20.0, None).step_um == pytest.approx(5.0)
