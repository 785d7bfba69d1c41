"""The curve of a lens: a current for every height, and none for a height out of reach."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.lens import LensCurve

CURRENTS_MA = (-120.0, -40.0, 0.0, 60.0, 120.0)
HEIGHTS_UM = (-41.0, -13.0, 0.0, 20.0, 35.0)


@given(height_um=st.floats(-41.0, 35.0), is_rising=st.booleans())
def test_a_height_has_one_current_on_rising_and_on_falling_curves(height_um: float, is_rising: bool) -> None:
    sign = 1.0 if is_rising else -1.0
    curve = LensCurve(tuple(sign * ma for ma in CURRENTS_MA), HEIGHTS_UM)
    found_ma = sign * curve.ma_from_um(height_um)
    k = next(k for k in range(1, 5) if height_um <= HEIGHTS_UM[k])
    share = (found_ma - CURRENTS_MA[k - 1]) / (CURRENTS_MA[k] - CURRENTS_MA[k - 1])
    assert HEIGHTS_UM[k - 1] + share * (HEIGHTS_UM[k] - HEIGHTS_UM[k - 1]) == pytest.approx(
        height_um, abs=1e-9
    )


def test_a_height_out_of_reach_is_refused() -> None:
    curve = LensCurve(CURRENTS_MA, HEIGHTS_UM)
    assert (curve.range_um, curve.ma_from_um(35.0), curve.ma_from_um(-41.0)) == ((-41.0, 35.0), 120.0, -120.0)
    with pytest.raises(ValueError, match=r"36\.00 um: the lens reaches -41\.00\.\.35\.00 um"):
        curve.ma_from_um(36.0)


@pytest.mark.parametrize(
    ("currents_ma", "heights_um", "told"),
    [
        ((0.0,), (0.0,), "2 or more"),
        ((0.0, 1.0), (0.0, 1.0, 2.0), "as many"),
        ((0.0, 1.0, 2.0), (0.0, 1.0, 1.0), "all the way"),
        ((0.0, 2.0, 1.0), (0.0, 1.0, 2.0), "all the way"),
        ((2.0, 1.0, 1.0), (0.0, 1.0, 2.0), "all the way"),
    ],
)
def test_a_curve_without_an_inverse_is_refused(
    currents_ma: tuple[float, ...], heights_um: tuple[float, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        LensCurve(currents_ma, heights_um)
