"""Predictions on stacks are compared with the focus of the stack, and summed up."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.config import Config
from parfocal.edge.engine import check_model
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.stacks.judging.evaluate import evaluate_stacks
from parfocal.edge.stacks.judging.figures import bins_of, figures_of
from parfocal.edge.stacks.judging.pairs import pair_indices
from parfocal.edge.stacks.judging.results import Evaluation, PlaneResult
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor
from tests.contracts import single_contract
from tests.edge.scope import with_focus
from tests.edge.stacks.made import FOCUS_Z_UM, TRUE_UM, Z_UM, SaysOfSingles, says, shots, tissue_stack


def plane(true_um: float, predicted_um: float) -> PlaneResult:
    return PlaneResult(
        z1_um=0.0,
        z2_um=0.0,
        true_um=true_um,
        predicted_um=predicted_um,
        error_um=predicted_um - true_um,
        spread_um=0.1,
        rule="whole",
        accepted=True,
        blank=False,
        in_range=True,
    )


@pytest.fixture
def small_patches(config: Config) -> Config:
    """Four patches of 120 px, as the made planes are small."""
    return with_focus(config, patch_px=120)


def test_a_constant_error_of_half_a_um_is_found_at_every_plane(small_patches: Config) -> None:
    result = evaluate_stacks([tissue_stack()], says([t + 0.5 for t in TRUE_UM]), small_patches)
    assert [p.true_um for p in result.stacks[0].planes] == TRUE_UM
    assert all(p.z2_um - p.z1_um == 2.0 for p in result.stacks[0].planes)
    figures = result.figures
    assert figures is not None
    # The plane 6 um above the focus is beyond the model's range of 5 um.
    assert figures.planes == len(TRUE_UM) - 1
    assert figures.mean_um == pytest.approx(0.5, abs=1e-5)
    assert figures.sd_um == pytest.approx(0.0, abs=1e-5)
    assert figures.bias_um == pytest.approx(0.5, abs=1e-5)
    assert figures.wrong_sign == 0.0
    assert figures.accepted == 1.0
    assert figures.mean_per_depth_of_field == pytest.approx(0.5 / 0.96)
    assert [(b.from_um, b.to_um) for b in result.bins] == [(0, 1), (1, 2), (2, 4), (4, 6)]
    assert sum(b.figures.planes for b in result.bins) == figures.planes


def test_wrong_signs_count_only_beyond_a_um(small_patches: Config) -> None:
    figures = evaluate_stacks([tissue_stack()], says([-t for t in TRUE_UM]), small_patches).figures
    assert figures is not None
    assert figures.wrong_sign == 1.0


def test_wrong_signs_count_beyond_a_depth_of_field_of_the_objective() -> None:
    wrong, right = plane(3.0, -3.0), plane(8.0, 7.0)
    for depth_um, share in ((0.96, 0.5), (6.0, 0.0)):
        figures = figures_of([wrong, right], depth_um)
        assert figures is not None
        assert figures.wrong_sign == share


def test_no_plane_of_a_deep_objective_is_missing_in_the_table_of_distances() -> None:
    bins = bins_of([plane(t, t) for t in (0.5, 5.0, 24.0, -36.0)], 6.0)
    assert sum(row.figures.planes for row in bins) == 4


def test_patches_that_disagree_are_not_accepted(small_patches: Config) -> None:
    result = evaluate_stacks([tissue_stack()], says(TRUE_UM, spread_um=3.0), small_patches)
    assert result.figures is not None
    assert result.figures.accepted == 0.0
    assert result.figures.accepted_mean_um is None
    assert {p.rule for p in result.stacks[0].planes} == {"half_spread"}


def test_a_stack_without_its_focus_is_labelled(small_patches: Config) -> None:
    (result,) = evaluate_stacks([tissue_stack(focus_z_um=None)], says(TRUE_UM), small_patches).stacks
    assert result.truth == "label"
    assert result.focus_z_um == pytest.approx(FOCUS_Z_UM, abs=0.5)


def test_a_stack_without_a_clear_focus_is_left_to_a_person(small_patches: Config) -> None:
    result = evaluate_stacks([tissue_stack(focus_z_um=None, blank=True)], says(TRUE_UM), small_patches)
    assert result.figures is None
    assert result.stacks[0].truth == "none"
    assert result.stacks[0].planes == ()
    assert "flat" in (result.stacks[0].review or "")


def test_blank_planes_do_not_count(small_patches: Config) -> None:
    result = evaluate_stacks([tissue_stack(blank=True)], says(TRUE_UM), small_patches)
    assert result.figures is None
    assert all(p.blank for p in result.stacks[0].planes)


@pytest.mark.parametrize("value", [0, 137, 255])
@pytest.mark.parametrize("kind", ["two shots", "single"])
def test_a_plane_of_one_colour_gets_no_prediction(
    small_patches: Config, config: Config, kind: str, value: int
) -> None:
    planes = [
        np.full_like(plane, value) if k in (0, 6) else plane for k, plane in enumerate(shots(blank=False))
    ]
    made = msgspec.structs.replace(tissue_stack(), planes=tuple(planes))
    # Both shots of a pair need contrast: a plane is the second shot, and the first one of the plane 2 um above it.
    without_um = (94.0, 100.0) if kind == "single" else (96.0, 100.0, 102.0)
    judged_um = [FOCUS_Z_UM - z for z in (Z_UM if kind == "single" else Z_UM[2:]) if z not in without_um]
    result = (
        evaluate_stacks([made], Predictor(SaysOfSingles(judged_um)), config)
        if kind == "single"
        else evaluate_stacks([made], says(judged_um), small_patches)
    )
    empty = [plane for plane in result.stacks[0].planes if plane.predicted_um is None]
    assert tuple(plane.z2_um for plane in empty) == without_um
    assert all(plane.blank and not plane.accepted and plane.rule == "blank" for plane in empty)
    assert result.figures is not None
    assert result.figures.mean_um == pytest.approx(0.0, abs=1e-5)
    assert msgspec.json.decode(msgspec.json.encode(result), type=Evaluation) == result


def test_stacks_that_do_not_fit_the_model_are_refused_by_name(small_patches: Config, config: Config) -> None:
    wrong_sampling = (
        r"made\.ome\.tiff .*0\.5 um per px, model says is for 0\.345\. If .*--um-per-px; otherwise .*--model"
    )
    with pytest.raises(ConfigError, match=wrong_sampling):
        evaluate_stacks([tissue_stack(um_per_px=0.5)], says(TRUE_UM), small_patches)
    sparse = msgspec.structs.replace(tissue_stack(), z_um=tuple(5.0 * z for z in Z_UM))
    with pytest.raises(
        ConfigError, match=r"made\.ome\.tiff .*no two of its planes are 2 um apart.*--step-um"
    ):
        evaluate_stacks([sparse], says(TRUE_UM), small_patches)
    tiny = msgspec.structs.replace(tissue_stack(), planes=tuple(p[:100] for p in shots(blank=False)))
    with pytest.raises(ConfigError, match=r"240 x 100 px.*Record larger frames"):
        evaluate_stacks([tiny], says(TRUE_UM), small_patches)
    with pytest.raises(InputMismatch, match="patch_px"):
        evaluate_stacks([tissue_stack()], says(TRUE_UM), config)


def test_each_stack_is_reported_with_all_before_it(small_patches: Config) -> None:
    seen: list[list[str]] = []
    named = [msgspec.structs.replace(tissue_stack(), path=Path(name)) for name in ("a", "b")]
    evaluate_stacks(
        named, says(TRUE_UM * 2), small_patches, lambda so_far: seen.append([s.stack for s in so_far.stacks])
    )
    assert seen == [["a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("z_um", "indices"),
    [
        ([0, 1, 2, 3], [(0, 2), (1, 3)]),
        ([0, 0.625, 1.25, 1.875, 2.5], [(0, 3), (1, 4)]),
        ([0, 1.5, 2.6], []),
    ],
)
def test_pairs_are_delta_apart_within_a_tenth(z_um: list[float], indices: list[tuple[int, int]]) -> None:
    assert pair_indices(z_um, 2.0) == indices


def test_no_planes_give_no_figures() -> None:
    assert figures_of([], 1.0) is None


def test_depth_of_field_follows_from_the_aperture() -> None:
    assert depth_of_field_um("20x/0.75") == pytest.approx(0.96)


def test_without_planes_beyond_a_um_there_is_no_share_of_wrong_signs() -> None:
    figures = figures_of([plane(0.5, -0.5)], 1.0)
    assert figures is not None
    assert figures.wrong_sign is None


def test_a_single_shot_model_is_judged_at_every_plane(config: Config) -> None:
    true_um = [FOCUS_Z_UM - z for z in Z_UM]
    result = evaluate_stacks([tissue_stack()], Predictor(SaysOfSingles([t - 0.25 for t in true_um])), config)
    assert [p.true_um for p in result.stacks[0].planes] == true_um
    assert all(p.z1_um == p.z2_um for p in result.stacks[0].planes)
    assert result.figures is not None
    assert result.figures.bias_um == pytest.approx(-0.25, abs=1e-5)


def test_planes_smaller_than_a_patch_are_refused(config: Config) -> None:
    class Large(SaysOfSingles):
        @property
        def contract(self) -> Contract:
            return single_contract()

    with pytest.raises(ConfigError, match="needs 672 x 672"):
        evaluate_stacks([tissue_stack()], Predictor(Large([])), config)


def test_a_single_shot_model_does_not_drive_the_focus_rule(config: Config) -> None:
    with pytest.raises(InputMismatch, match="predicts from one shot"):
        check_model(SaysOfSingles([]).contract, config)
