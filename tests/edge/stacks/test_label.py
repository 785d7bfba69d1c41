"""The label of a made stack is its true focus; unclear stacks are left to a person."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.edge.stacks.label import label_curve, label_planes
from tests.edge.stacks.made import scene

Z_UM = np.arange(-10.0, 10.01, 0.625)


def peak(z_um: NDArray[np.float64], at_um: float, width_um: float = 2.0) -> NDArray[np.float64]:
    return np.exp(-(((z_um - at_um) / width_um) ** 2))


def test_the_label_of_a_made_stack_is_its_true_focus() -> None:
    made = scene()
    z_um = Z_UM[::2] + 0.3  # the focus lies between two planes
    label = label_planes([made.shot(1000.0, 800.0, float(z), 1.0) for z in z_um], (z_um + 2500.0).tolist())
    assert label.review is None
    # Phase shifts the sharpest plane from the geometric focus, by less than half a depth of field.
    assert label.focus_z_um == pytest.approx(2500.0, abs=0.45)


def test_an_empty_field_is_left_to_a_person() -> None:
    made = scene(blank_share=1.0)
    label = label_planes([made.shot(2250.0, 2250.0, float(z), 1.0) for z in Z_UM[::4]], Z_UM[::4].tolist())
    assert label.focus_z_um is None
    assert "flat" in (label.review or "")


@given(
    at_um=st.floats(-6.0, 6.0), width_um=st.floats(1.5, 4.0), gain=st.floats(1e-3, 1e3), base=st.floats(0, 2)
)
def test_a_clean_peak_is_found_between_the_planes(
    at_um: float, width_um: float, gain: float, base: float
) -> None:
    label = label_curve(Z_UM.tolist(), (gain * (base + peak(Z_UM, at_um, width_um))).tolist())
    assert label.focus_z_um == pytest.approx(at_um, abs=0.1)


def test_uneven_steps_do_not_move_the_label() -> None:
    z_um = np.sort(np.random.default_rng(5).choice(np.arange(-10.0, 10.0, 0.3125), 40, replace=False))
    label = label_curve(z_um.tolist(), (0.2 + peak(z_um, 0.4)).tolist())
    assert label.focus_z_um == pytest.approx(0.4, abs=0.15)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (peak(Z_UM, -4.0) + 0.7 * peak(Z_UM, 4.0), "two peaks"),
        (np.full(len(Z_UM), 3.0), "flat"),
        (np.zeros(len(Z_UM)), "flat"),
        (100.0 + np.random.default_rng(2).standard_normal(len(Z_UM)), "flat"),
        (100.0 + 20.0 * np.random.default_rng(2).standard_normal(len(Z_UM)), "flat"),
        (peak(Z_UM, -10.0), "at its end"),
        (np.linspace(1.0, 5.0, len(Z_UM)), "at its end"),
    ],
)
def test_a_curve_without_a_single_peak_is_left_to_a_person(values: NDArray[np.float64], why: str) -> None:
    label = label_curve(Z_UM.tolist(), values.tolist())
    assert label.focus_z_um is None
    assert why in (label.review or "")


def test_a_low_second_peak_and_noise_do_not_hide_the_peak() -> None:
    noise = 0.02 * np.random.default_rng(4).standard_normal(len(Z_UM))
    values = peak(Z_UM, -3.0) + 0.3 * peak(Z_UM, 5.0) + noise
    assert label_curve(Z_UM.tolist(), values.tolist()).focus_z_um == pytest.approx(-3.0, abs=0.2)


def test_four_planes_are_too_few() -> None:
    assert "5 or more" in (label_curve([0, 1, 2, 3], [0, 1, 3, 1]).review or "")
