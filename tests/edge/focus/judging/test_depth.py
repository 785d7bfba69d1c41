import pytest

from parfocal.edge.focus.judging.depth import depth_of_field_um, finest_um


@pytest.mark.parametrize(
    ("objective", "depth_um"),
    [("20x/0.75", 0.96), ("10x/0.3", 6.0), ("40x/0.95", 0.598), ("100x/1.25", 0.524), ("40/0.65", 1.278)],
)
def test_depth_of_field_follows_the_aperture(objective: str, depth_um: float) -> None:
    assert depth_of_field_um(objective) == pytest.approx(depth_um, rel=2e-3)


@pytest.mark.parametrize(
    ("objective", "period_um"), [("20x/0.75", 0.3), ("40x/0.65", 0.346), ("10x/0.3", 0.75)]
)
def test_the_finest_detail_follows_the_aperture(objective: str, period_um: float) -> None:
    assert finest_um(objective) == pytest.approx(period_um, rel=2e-3)


@pytest.mark.parametrize("objective", ["20x", "20x/", "20x/high", "20x/0", "20x/-0.5", "20x/1.6", ""])
def test_an_objective_without_an_aperture_is_refused_with_an_example(objective: str) -> None:
    with pytest.raises(ValueError, match=r"20x/0\.75"):
        depth_of_field_um(objective)
