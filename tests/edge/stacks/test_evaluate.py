"""Evaluation: what is predicted on stacks, against where their focus is."""

import functools
import json
import os
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.cli import evaluate as cli_evaluate
from parfocal.edge.config import Config
from parfocal.edge.engine import check_model
from parfocal.edge.errors import ConfigError
from parfocal.edge.stacks.evaluate import (
    Evaluation,
    PlaneResult,
    depth_of_field_um,
    evaluate_stacks,
    figures_of,
    pairs_of,
)
from parfocal.edge.stacks.stack import Stack, write_stack
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import Contract
from tests.contracts import difference_contract, single_contract
from tests.edge.scope import with_focus
from tests.edge.stacks.test_label import scene

Z_UM = tuple(float(z) for z in np.arange(94.0, 106.1, 1.0))


class Says:
    """A runner that says for every pair in turn what it was told."""

    def __init__(self, distances_um: list[float], spread_um: float = 0.0) -> None:
        self._distances_um, self._spread_um = iter(distances_um), spread_um

    @property
    def contract(self) -> Contract:
        return difference_contract(name="says", patch_px=120, range_um=5.0)

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        said = next(self._distances_um)
        return np.array([said + self._spread_um * (-1) ** k for k in range(len(batch))], np.float32)


@pytest.fixture
def judge(config: Config) -> Config:
    """Four patches of 120 px: the made planes are small."""
    return msgspec.structs.replace(config, focus=msgspec.structs.replace(config.focus, patch_px=120))


@functools.cache
def shots(blank: bool) -> tuple[NDArray[np.uint8], ...]:
    made = scene(blank_share=1.0 if blank else 0.0)
    return tuple(made.shot(2250.0, 2250.0, z - 100.0, 1.0) for z in Z_UM)


def stack(focus_z_um: float | None = 100.0, um_per_px: float | None = 0.345, blank: bool = False) -> Stack:
    return Stack(Path("made.ome.tiff"), Z_UM, shots(blank), um_per_px, focus_z_um)


TRUE_UM = [100.0 - z for z in Z_UM[2:]]


def test_a_predictor_that_is_off_by_half_a_um_is_off_by_that_everywhere(judge: Config) -> None:
    result = evaluate_stacks([stack()], Says([t + 0.5 for t in TRUE_UM]), judge)
    assert [p.true_um for p in result.stacks[0].planes] == TRUE_UM
    assert all(p.z2_um - p.z1_um == 2.0 for p in result.stacks[0].planes)
    figures = result.figures
    assert figures is not None
    # The plane 6 um above the focus lies beyond the model's range of 5 um.
    assert figures.planes == len(TRUE_UM) - 1
    assert figures.mean_um == pytest.approx(0.5, abs=1e-5)
    assert figures.sd_um == pytest.approx(0.0, abs=1e-5)
    assert figures.bias_um == pytest.approx(0.5, abs=1e-5)
    assert figures.wrong_sign == 0.0
    assert figures.accepted == 1.0
    assert figures.mean_per_depth_of_field == pytest.approx(0.5 / 0.96)
    assert [(b.from_um, b.to_um) for b in result.bins] == [(0, 1), (1, 2), (2, 4), (4, 6)]
    assert sum(b.figures.planes for b in result.bins) == figures.planes


def test_swapped_signs_are_counted_beyond_a_um_only(judge: Config) -> None:
    figures = evaluate_stacks([stack()], Says([-t for t in TRUE_UM]), judge).figures
    assert figures is not None
    assert figures.wrong_sign == 1.0


def test_patches_that_disagree_are_not_accepted_by_the_rule(judge: Config) -> None:
    result = evaluate_stacks([stack()], Says(TRUE_UM, spread_um=3.0), judge)
    assert result.figures is not None
    assert result.figures.accepted == 0.0
    assert result.figures.accepted_mean_um is None
    assert {p.rule for p in result.stacks[0].planes} == {"half_spread"}


def test_a_stack_without_truth_is_labelled_and_says_so(judge: Config) -> None:
    (found,) = evaluate_stacks([stack(focus_z_um=None)], Says(TRUE_UM), judge).stacks
    assert found.truth == "label"
    assert found.focus_z_um == pytest.approx(100.0, abs=0.5)


def test_a_stack_whose_focus_cannot_be_told_is_left_to_a_person(judge: Config) -> None:
    result = evaluate_stacks([stack(focus_z_um=None, blank=True)], Says(TRUE_UM), judge)
    assert result.figures is None
    assert result.stacks[0].truth == "none"
    assert result.stacks[0].planes == ()
    assert "flat" in (result.stacks[0].review or "")


def test_blank_planes_do_not_count(judge: Config) -> None:
    result = evaluate_stacks([stack(blank=True)], Says(TRUE_UM), judge)
    assert result.figures is None
    assert all(p.blank for p in result.stacks[0].planes)


@pytest.mark.parametrize("value", [0, 137, 255])
@pytest.mark.parametrize("kind", ["two shots", "single"])
def test_a_plane_without_any_contrast_has_nothing_to_judge(
    judge: Config, config: Config, kind: str, value: int
) -> None:
    planes = [
        np.full_like(plane, value) if k in (0, 6) else plane for k, plane in enumerate(shots(blank=False))
    ]
    made = msgspec.structs.replace(stack(), planes=tuple(planes))
    # Both shots of a pair must hold something: a plane is a second shot, and the first one of the plane 2 um above it.
    without_um = (94.0, 100.0) if kind == "single" else (96.0, 100.0, 102.0)
    judged_um = [100.0 - z for z in (Z_UM if kind == "single" else Z_UM[2:]) if z not in without_um]
    result = (
        evaluate_stacks([made], SaysOfSingles(judged_um), config)
        if kind == "single"
        else evaluate_stacks([made], Says(judged_um), judge)
    )
    empty = [plane for plane in result.stacks[0].planes if plane.predicted_um is None]
    assert tuple(plane.z2_um for plane in empty) == without_um
    assert all(plane.blank and not plane.accepted and plane.rule == "blank" for plane in empty)
    assert result.figures is not None
    assert result.figures.mean_um == pytest.approx(0.0, abs=1e-5)
    assert msgspec.json.decode(msgspec.json.encode(result), type=Evaluation) == result


def test_stacks_that_do_not_fit_the_model_are_refused_by_name(judge: Config, config: Config) -> None:
    wrong_sampling = (
        r"made\.ome\.tiff .*0\.5 um per px, model says is for 0\.345\. If .*--um-per-px; else .*--model"
    )
    with pytest.raises(ConfigError, match=wrong_sampling):
        evaluate_stacks([stack(um_per_px=0.5)], Says(TRUE_UM), judge)
    sparse = msgspec.structs.replace(stack(), z_um=tuple(5.0 * z for z in Z_UM))
    with pytest.raises(
        ConfigError, match=r"made\.ome\.tiff .*no two of its planes are 2 um apart.*--step-um"
    ):
        evaluate_stacks([sparse], Says(TRUE_UM), judge)
    tiny = msgspec.structs.replace(stack(), planes=tuple(p[:100] for p in stack().planes))
    with pytest.raises(ConfigError, match=r"240 x 100 px.*Record larger frames"):
        evaluate_stacks([tiny], Says(TRUE_UM), judge)
    with pytest.raises(InputMismatch, match="patch_px"):
        evaluate_stacks([stack()], Says(TRUE_UM), config)


@pytest.mark.parametrize(
    ("z_um", "pairs"),
    [
        ([0, 1, 2, 3], [(0, 2), (1, 3)]),
        ([0, 0.625, 1.25, 1.875, 2.5], [(0, 3), (1, 4)]),
        ([0, 1.5, 2.6], []),
    ],
)
def test_pairs_are_delta_apart_within_a_tenth(z_um: list[float], pairs: list[tuple[int, int]]) -> None:
    assert pairs_of(z_um, 2.0) == pairs


def test_figures_of_nothing_are_none_and_the_depth_of_field_is_that_of_the_aperture() -> None:
    assert figures_of([], 1.0) is None
    assert depth_of_field_um("20x/0.75") == pytest.approx(0.96)
    near = PlaneResult(0.0, 2.0, 0.5, -0.5, -1.0, 0.1, "down", True, False, True)
    figures = figures_of([near], 1.0)
    assert figures is not None
    assert figures.wrong_sign is None


def test_the_command_writes_result_and_plot(
    judge: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="the demo extra is not installed")

    class Opened:
        runner = Says(TRUE_UM)
        description = "says"

    asked: list[tuple[str, int]] = []

    def opened(model: str, threads: int) -> Opened:
        asked.append((model, threads))
        return Opened()

    monkeypatch.setattr(cli_evaluate, "configured", lambda *_: with_focus(judge, threads=3))
    monkeypatch.setattr(cli_evaluate, "opened_engine", opened)
    made = stack()
    write_stack(tmp_path / "a.ome.tiff", made.planes, made.z_um, 0.345, 100.0)
    out, plot = tmp_path / "r.json", tmp_path / "deep" / "p.png"
    cli_evaluate.evaluate([tmp_path / "a.ome.tiff"], model="mine", json=out, plot=plot)
    assert asked == [("mine", 3)]
    written = json.loads(out.read_text())
    assert written["stacks"][0]["truth"] == "stack"
    assert {"planes", "mean_um", "sd_um", "wrong_sign", "mean_per_depth_of_field"} <= set(written["figures"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "wrong sign beyond 1 um: 0.0 %" in capsys.readouterr().out


@pytest.fixture
def command(judge: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """`parfocal evaluate` with a runner that knows the truth of two made stacks."""

    class Opened:
        runner = Says(TRUE_UM * 2)
        description = "says"

    monkeypatch.setattr(cli_evaluate, "configured", lambda *_: judge)
    monkeypatch.setattr(cli_evaluate, "opened_engine", lambda *_: Opened())


def made_file(path: Path) -> Path:
    made = stack()
    write_stack(path, made.planes, made.z_um, 0.345, 100.0)
    return path


@pytest.mark.usefixtures("command")
def test_what_was_judged_before_a_bad_stack_is_kept_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = made_file(tmp_path / "good.ome.tiff"), tmp_path / "bad.ome.tiff"
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
def test_numbered_images_are_judged_by_the_distance_that_is_given(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    step_um: float,
    planes: tuple[NDArray[np.uint8], ...],
) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, plane in enumerate(planes):
        cv2.imwrite(str(folder / f"{number}.png"), plane[..., ::-1])
    cli_evaluate.evaluate([folder], step_um=step_um, um_per_px=0.345, json=tmp_path / "r.json")
    (found,) = json.loads((tmp_path / "r.json").read_text())["stacks"]
    assert found["truth"] == "label"
    assert found["focus_z_um"] == pytest.approx(100.0 - Z_UM[0], abs=0.5)
    assert found["figures"]["mean_um"] == pytest.approx(0.0, abs=0.5)
    assert (
        "focus not stated by the stack but estimated from its sharpness: 1 of 1 stack"
        in capsys.readouterr().out
    )


@pytest.mark.usefixtures("command")
def test_how_a_stack_was_understood_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number, plane in enumerate(shots(blank=False)):
        cv2.imwrite(str(folder / f"{number}.png"), plane[..., ::-1].astype(np.uint16) * 16)
    cli_evaluate.evaluate([folder], step_um=1.0, json=tmp_path / "r.json")
    (found,) = json.loads((tmp_path / "r.json").read_text())["stacks"]
    assert ["of 12 bits" in found["notes"][0], "does not say its sampling" in found["notes"][1]] == [
        True,
        True,
    ]
    assert found["figures"]["planes"] > 0
    assert "planes: its values" in capsys.readouterr().out


@pytest.mark.usefixtures("command")
def test_a_first_stack_that_is_bad_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "bad.ome.tiff").write_text("notes of a week")
    with pytest.raises(ConfigError, match=r"bad\.ome\.tiff"):
        cli_evaluate.evaluate([tmp_path / "bad.ome.tiff"], json=tmp_path / "deep" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.ome.tiff"]


@pytest.mark.usefixtures("command")
def test_json_on_standard_output_is_the_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli_evaluate.evaluate([made_file(tmp_path / "a.ome.tiff")], json=Path("-"))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["model"] == "says"
    assert "engine: says" in printed.err


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize("name", [b"[red]x.ome.tiff", b"\xe9.ome.tiff"])
def test_a_stack_may_have_any_name_that_the_system_allows(
    tmp_path: Path, name: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made_file(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    cli_evaluate.evaluate([path], json=tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())["stacks"][0]["stack"]
    shown = name.decode("utf-8", "backslashreplace")
    assert found == str(tmp_path / shown)
    assert shown in "".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("command")
def test_a_plot_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Give another --plot path"):
        cli_evaluate.evaluate([tmp_path / "gone.ome.tiff"], plot=Path("/proc/none/p.png"))


class SaysOfSingles(Says):
    """A runner of single shots, which looks at one patch in the middle."""

    @property
    def contract(self) -> Contract:
        return single_contract(patch_px=240, range_um=5.0)


def test_a_single_shot_model_is_judged_at_every_plane(config: Config) -> None:
    true_um = [100.0 - z for z in Z_UM]
    result = evaluate_stacks([stack()], SaysOfSingles([t - 0.25 for t in true_um]), config)
    assert [p.true_um for p in result.stacks[0].planes] == true_um
    assert all(p.z1_um == p.z2_um for p in result.stacks[0].planes)
    assert result.figures is not None
    assert result.figures.bias_um == pytest.approx(-0.25, abs=1e-5)


def test_planes_smaller_than_a_patch_are_refused(config: Config) -> None:
    class Large(SaysOfSingles):
        @property
        def contract(self) -> Contract:
            return single_contract()

    with pytest.raises(ConfigError, match="looks at 672 x 672"):
        evaluate_stacks([stack()], Large([]), config)


def test_a_single_shot_model_does_not_drive_the_focus_rule(config: Config) -> None:
    with pytest.raises(InputMismatch, match="predicts from one shot"):
        check_model(SaysOfSingles([]).contract, config)
