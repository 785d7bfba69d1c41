import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.focus.picture.places import places, spread_places


@pytest.mark.parametrize(
    ("height_px", "width_px", "n"),
    [
        (1214, 1944, 7),  # the default camera
        (1944, 1214, 7),
        (2048, 2048, 9),  # the camera of liao2021
        (672, 672, 1),
        (700, 5000, 1),
    ],
)
def test_as_many_patches_as_an_engine_is_built_for(height_px: int, width_px: int, n: int) -> None:
    assert len(places(height_px, width_px, 672)) == n


@given(st.integers(672, 4000), st.integers(672, 4000))
def test_patches_lie_inside_the_frame_and_in_places_of_their_own(height_px: int, width_px: int) -> None:
    found = places(height_px, width_px, 672)
    assert len(set(found)) == len(found) in (1, 7, 9)
    assert all(0 <= top <= height_px - 672 and 0 <= left <= width_px - 672 for top, left in found)


def test_a_frame_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than one patch of 672 px"):
        places(600, 900, 672)


@pytest.mark.parametrize(
    ("height_px", "width_px", "n"),
    [
        (2048, 2048, 9),
        (1100, 1700, 7),
        (1024, 1224, 7),
        (1224, 1024, 7),
        (840, 900, 7),
        (800, 2000, 1),
        (672, 672, 1),
    ],
)
def test_a_smaller_frame_has_seven_patches_that_overlap_where_the_shape_of_a_field_is_wanted(
    height_px: int, width_px: int, n: int
) -> None:
    found = spread_places(height_px, width_px, 672)
    assert len(set(found)) == len(found) == n
    assert all(0 <= top <= height_px - 672 and 0 <= left <= width_px - 672 for top, left in found)
    if n > 1:
        assert {0, height_px - 672} <= {top for top, _ in found}
        assert {0, width_px - 672} <= {left for _, left in found}
