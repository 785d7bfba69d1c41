"""The focal surface: exact where it can be, robust, honest about its error, refused where it would be a guess."""

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parfocal.edge.surface.points import FocusPoint, SurfaceRefused
from parfocal.edge.surface.surface import FocalSurface, fit_surface

X0_UM, Y0_UM, Z0_UM = 20_000.0, 10_000.0, 2500.0
COEFFICIENT = st.floats(-3.0, 3.0)


def grid(side: int, spacing_um: float = 1000.0) -> list[tuple[float, float]]:
    return [(X0_UM + i * spacing_um, Y0_UM + j * spacing_um) for j in range(side) for i in range(side)]


def height_um(x_um: float, y_um: float, tilt: tuple[float, float], curve: tuple[float, ...] = ()) -> float:
    x_mm, y_mm = (x_um - X0_UM) / 1000.0, (y_um - Y0_UM) / 1000.0
    bent = zip(curve, (x_mm * x_mm, x_mm * y_mm, y_mm * y_mm), strict=False)
    return Z0_UM + tilt[0] * x_mm + tilt[1] * y_mm + sum(c * term for c, term in bent)


def points_of(
    places: list[tuple[float, float]],
    tilt: tuple[float, float],
    curve: tuple[float, ...] = (),
    sigma_um: float = 0.0,
) -> list[FocusPoint]:
    noise_um = np.random.default_rng(3).normal(0.0, sigma_um, len(places))
    return [
        FocusPoint(x, y, height_um(x, y, tilt, curve) + float(off))
        for (x, y), off in zip(places, noise_um, strict=True)
    ]


def between(surface: FocalSurface, side: int, spacing_um: float = 1000.0) -> list[float]:
    """Heights on a grid twice as fine, over the whole hull."""
    at = np.linspace(0.0, (side - 1) * spacing_um, 2 * side - 1)
    return [surface.z_um(X0_UM + x, Y0_UM + y) for x, y in itertools.product(at, at)]


@settings(max_examples=25)
@given(st.integers(2, 6), st.tuples(COEFFICIENT, COEFFICIENT))
def test_an_exact_plane_is_recovered(side: int, tilt: tuple[float, float]) -> None:
    surface = fit_surface(points_of(grid(side), tilt))
    assert surface.z_um(X0_UM + 500.0, Y0_UM + 700.0) == pytest.approx(
        height_um(X0_UM + 500.0, Y0_UM + 700.0, tilt), abs=1e-6
    )
    assert all(point.status == "used" for point in surface.points)


@settings(max_examples=25)
@given(
    st.integers(4, 7), st.tuples(COEFFICIENT, COEFFICIENT), st.tuples(COEFFICIENT, COEFFICIENT, COEFFICIENT)
)
def test_an_exact_quadratic_is_recovered(
    side: int, tilt: tuple[float, float], curve: tuple[float, float, float]
) -> None:
    surface = fit_surface(points_of(grid(side), tilt, curve))
    at = (X0_UM + 1500.0, Y0_UM + 2300.0)
    assert surface.z_um(*at) == pytest.approx(height_um(*at, tilt, curve), abs=1e-5)
    assert surface.error.rms_um < 1e-5


@settings(max_examples=20)
@given(
    st.integers(0, 15),
    st.sampled_from([-30.0, 30.0]),
    st.tuples(COEFFICIENT, COEFFICIENT),
    st.sampled_from([(), (0.3, -0.2, 0.1), (-1.0, 0.5, 0.8)]),
    st.sampled_from([0.0, 0.25]),
)
@example(0, -30.0, (-3.0, 3.0), (-1.0, 0.5, 0.8), 0.25)
@example(15, 30.0, (3.0, -3.0), (-1.0, 0.5, 0.8), 0.25)
@example(15, 30.0, (3.0, 3.0), (), 0.0)
def test_one_wrong_point_of_sixteen_does_not_move_the_surface(
    wrong: int, off_um: float, tilt: tuple[float, float], curve: tuple[float, ...], sigma_um: float
) -> None:
    points = points_of(grid(4), tilt, curve, sigma_um)
    point = points[wrong]
    assert point.z_um is not None
    spoiled = [*points]
    spoiled[wrong] = msgspec.structs.replace(point, z_um=point.z_um + off_um)
    surface = fit_surface(spoiled)
    assert [p.status for p in surface.points].count("rejected") == 1
    assert surface.points[wrong].status == "rejected"
    assert surface.points[wrong].residual_um == pytest.approx(off_um, abs=8.0 * sigma_um + 0.1)
    # Nothing of it is left: the surface is that of the other fifteen.
    others = fit_surface([p for i, p in enumerate(points) if i != wrong])
    for x_um, y_um in grid(4, 999.0):
        if surface.covers(x_um, y_um):
            assert surface.z_um(x_um, y_um) == pytest.approx(others.z_um(x_um, y_um), abs=0.1)


def test_one_wrong_point_hidden_in_an_exact_surface_changes_nothing_anywhere() -> None:
    curve = (0.3, -0.2, 0.1)
    for wrong in (0, 5, 10):
        points = points_of(grid(4), (1.0, -2.0), curve)
        points[wrong] = msgspec.structs.replace(points[wrong], z_um=Z0_UM + 30.0)
        surface = fit_surface(points)
        for x_um, y_um in grid(7, 500.0):
            if surface.covers(x_um, y_um):
                assert surface.z_um(x_um, y_um) == pytest.approx(
                    height_um(x_um, y_um, (1.0, -2.0), curve), abs=1e-5
                )


def test_three_wrong_points_of_twenty_five_are_all_rejected() -> None:
    points = points_of(grid(5), (2.0, 1.0), (0.2, 0.0, 0.2), sigma_um=0.25)
    for wrong in (0, 1, 5):  # side by side in a corner, where they support each other
        z_um = points[wrong].z_um
        assert z_um is not None
        points[wrong] = msgspec.structs.replace(points[wrong], z_um=z_um + 20.0)
    surface = fit_surface(points)
    assert [i for i, p in enumerate(surface.points) if p.status == "rejected"] == [0, 1, 5]


def test_a_steep_slide_has_no_wrong_points() -> None:
    # Heights from 2500 to 2680 um: judged by raw height, the far corners would be outliers.
    surface = fit_surface(points_of(grid(4), (30.0, 30.0), sigma_um=0.25))
    assert all(point.status == "used" for point in surface.points)


def test_scatter_of_an_uneven_slide_is_not_taken_for_wrong_points() -> None:
    """Of good points with normal scatter far above that of focusing, at most 0.35 % are rejected."""
    rng = np.random.default_rng(5)
    rejected = 0
    for _ in range(120):
        points = [FocusPoint(x, y, Z0_UM + float(rng.normal(0.0, 1.2))) for x, y in grid(4)]
        rejected += sum(p.status == "rejected" for p in fit_surface(points).points)
    assert rejected <= 0.0035 * 120 * 16


def test_the_leave_one_out_interval_covers_the_true_error() -> None:
    """The true error of a prediction at a point that was not measured, for 80 noisy slides."""
    sigma_um, covered, n_slides = 0.3, 0, 80
    rng = np.random.default_rng(11)
    places = grid(5)
    true_z_um = [height_um(x, y, (1.0, -1.0), (0.3, 0.1, -0.3)) for x, y in places]
    for _ in range(n_slides):
        points = [
            FocusPoint(x, y, z_um + float(rng.normal(0.0, sigma_um)))
            for (x, y), z_um in zip(places, true_z_um, strict=True)
        ]
        surface = fit_surface(points)
        off_um = surface.heights_um(*np.array(places).T) - true_z_um
        # A new measurement there has the error of the surface and its own.
        true_um = float(np.sqrt(np.mean(np.square(off_um)) + sigma_um**2))
        covered += surface.error.low_um <= true_um <= surface.error.high_um
    assert covered >= 0.9 * n_slides


def test_waves_that_no_polynomial_follows_are_followed_where_there_are_points_enough() -> None:
    def wave_um(x_um: float, y_um: float) -> float:
        return Z0_UM + 3.0 * float(np.sin((x_um - X0_UM) / 500.0) * np.cos((y_um - Y0_UM) / 700.0))

    surface = fit_surface([FocusPoint(x, y, wave_um(x, y)) for x, y in grid(16, 300.0)])
    assert surface.model == "quadratic and local"
    off_um = [surface.z_um(x, y) - wave_um(x, y) for x, y in grid(29, 160.0)]
    assert float(np.sqrt(np.mean(np.square(off_um)))) < 0.8
    # The error that it states is that of places where it has not measured.
    assert surface.error.rms_um == pytest.approx(float(np.sqrt(np.mean(np.square(off_um)))), rel=1.0)


def test_a_flat_slide_gets_the_simplest_surface() -> None:
    assert fit_surface(points_of(grid(6), (1.0, 1.0), sigma_um=0.25)).model == "plane"


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ([], "from 0 points with a focus"),
        (grid(2)[:3], "from 3 points with a focus, of 3: it takes 4 or more"),
        ([(X0_UM + 100.0 * i, Y0_UM) for i in range(10)], "they lie on a line"),
        (
            [*[(X0_UM + 100.0 * i, Y0_UM) for i in range(10)], (X0_UM, Y0_UM + 500.0)],
            "one of them alone decides",
        ),
        ([(X0_UM, Y0_UM)] * 8, "they lie on a line"),
    ],
)
def test_points_that_do_not_determine_a_surface_are_refused(
    places: list[tuple[float, float]], why: str
) -> None:
    with pytest.raises(SurfaceRefused, match=why):
        fit_surface([FocusPoint(x, y, Z0_UM) for x, y in places])


def test_no_height_is_given_outside_of_the_points() -> None:
    places = grid(4)
    del places[-1]  # a blank corner
    surface = fit_surface(points_of(places, (1.0, 1.0)))
    assert surface.z_um(X0_UM, Y0_UM) == pytest.approx(Z0_UM)
    for x_um, y_um in ((X0_UM - 50.0, Y0_UM), (X0_UM + 2900.0, Y0_UM + 2900.0)):
        assert not surface.covers(x_um, y_um)
        with pytest.raises(SurfaceRefused, match=r"no focal height at x=.*Survey a larger region"):
            surface.z_um(x_um, y_um)


def test_blank_and_lost_points_pass_through() -> None:
    left_out = [
        FocusPoint(X0_UM + 500.0, Y0_UM, status="blank", reason="the field is empty"),
        FocusPoint(X0_UM + 600.0, Y0_UM, status="lost", reason="no peak"),
    ]
    points = points_of(grid(3), (1.0, 0.0))
    surface = fit_surface([points[0], *left_out, *points[1:]])
    assert list(surface.points[1:3]) == left_out
    assert len(surface.points) == 11
