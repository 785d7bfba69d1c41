"""`parfocal evaluate`: result, tables and plot, and what happens to bad stacks."""

import json
import os
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.cli import evaluate as cli_evaluate
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.errors import ConfigError
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.write import write_stack
from tests.edge.scope import with_focus
from tests.edge.stacks.made import FOCUS_Z_UM, TRUE_UM, Z_UM, says, shots, tissue_stack


@pytest.fixture
def small_patches(config: Config) -> Config:
    """Four patches of 120 px, as the made planes are small."""
    return with_focus(config, patch_px=120)


def test_the_command_writes_result_and_plot(
    small_patches: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="the demo extra is not installed")

    class Opened:
        predictor = says(TRUE_UM)
        description = "says"

    asked: list[tuple[str, int]] = []

    def opened(focus: FocusConfig) -> Opened:
        asked.append((focus.model, focus.threads))
        return Opened()

    monkeypatch.setattr(cli_evaluate, "configured", lambda *_: with_focus(small_patches, threads=3))
    monkeypatch.setattr(cli_evaluate, "opened_engine", opened)
    path = tissue_file(tmp_path / "a.ome.tiff")
    out, plot = tmp_path / "r.json", tmp_path / "deep" / "p.png"
    cli_evaluate.evaluate([path], model="mine", json=out, plot=plot)
    assert asked == [("mine", 3)]
    written = json.loads(out.read_text())
    assert written["stacks"][0]["truth"] == "stack"
    assert {"planes", "mean_um", "sd_um", "wrong_sign", "mean_per_depth_of_field"} <= set(written["figures"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "wrong sign beyond 1 um: 0.0 %" in capsys.readouterr().out


@pytest.fixture
def command(small_patches: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """`parfocal evaluate` with a runner that predicts the truth for two made stacks."""

    class Opened:
        predictor = says(TRUE_UM * 2)
        description = "says"

    monkeypatch.setattr(cli_evaluate, "configured", lambda *_: small_patches)
    monkeypatch.setattr(cli_evaluate, "opened_engine", lambda *_: Opened())


def tissue_file(path: Path) -> Path:
    write_stack(msgspec.structs.replace(tissue_stack(), path=path))
    return path


@pytest.mark.usefixtures("command")
def test_results_before_a_bad_stack_are_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tissue_file(tmp_path / "good.ome.tiff"), tmp_path / "bad.ome.tiff"
    bad.write_text("notes of a week")
    with pytest.raises(ConfigError, match=r"bad\.ome\.tiff"):
        cli_evaluate.evaluate([good, bad], json=tmp_path / "r.json", plot=tmp_path / "deep" / "p.png")
    kept = json.loads((tmp_path / "r.json").read_text())
    assert [Path(found["stack"]).name for found in kept["stacks"]] == ["good.ome.tiff"]
    assert kept["figures"]["planes"] > 0
    assert "bad.ome.tiff" in kept["incomplete"]
    assert "good.ome.tiff" in capsys.readouterr().out
    assert not (tmp_path / "deep").exists()


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(("step_um", "planes"), [(1.0, shots(blank=False)), (-1.0, shots(blank=False)[::-1])])
def test_numbered_images_are_evaluated_at_the_given_distance(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    step_um: float,
    planes: tuple[UInt8Array, ...],
) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, plane in enumerate(planes):
        cv2.imwrite(str(folder / f"{number}.png"), plane[..., ::-1])
    cli_evaluate.evaluate([folder], step_um=step_um, um_per_px=0.345, json=tmp_path / "r.json")
    (found,) = json.loads((tmp_path / "r.json").read_text())["stacks"]
    assert found["truth"] == "label"
    assert found["focus_z_um"] == pytest.approx(FOCUS_Z_UM - Z_UM[0], abs=0.5)
    assert found["figures"]["mean_um"] == pytest.approx(0.0, abs=0.5)
    assert (
        "focus not stated by the stack but estimated from its sharpness: 1 of 1 stack"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("command")
def test_the_interpretation_of_a_stack_is_in_the_result_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, plane in enumerate(shots(blank=False)):
        cv2.imwrite(str(folder / f"{number}.png"), plane[..., ::-1].astype(np.uint16) * 16)
    cli_evaluate.evaluate([folder], step_um=1.0, json=tmp_path / "r.json")
    (found,) = json.loads((tmp_path / "r.json").read_text())["stacks"]
    assert "12-bit values" in found["notes"][0]
    assert "does not give its sampling" in found["notes"][1]
    assert found["figures"]["planes"] > 0
    assert "planes: values up to" in capsys.readouterr().out


@pytest.mark.usefixtures("command")
def test_a_bad_first_stack_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "bad.ome.tiff").write_text("notes of a week")
    with pytest.raises(ConfigError, match=r"bad\.ome\.tiff"):
        cli_evaluate.evaluate([tmp_path / "bad.ome.tiff"], json=tmp_path / "deep" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ome.tiff"]


@pytest.mark.usefixtures("command")
def test_json_on_standard_output_is_the_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_evaluate.evaluate([tissue_file(tmp_path / "a.ome.tiff")], json=Path("-"))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["model"] == "says"
    assert "engine: says" in printed.err


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize("name", [b"[red]x.ome.tiff", b"\xe9.ome.tiff"])
def test_a_stack_may_have_any_file_name(
    tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tissue_file(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    cli_evaluate.evaluate([path], json=tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())["stacks"][0]["stack"]
    shown = name.decode("utf-8", "backslashreplace")
    assert found == str(tmp_path / shown)
    assert shown in "".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("command")
def test_a_plot_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Give another --plot path"):
        cli_evaluate.evaluate([tmp_path / "gone.ome.tiff"], plot=Path("/proc/none/p.png"))
