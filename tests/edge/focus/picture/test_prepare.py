import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parfocal.edge.focus.picture import prepare
from parfocal.edge.pixels import UInt8Array

IMAGES = hnp.arrays(np.uint8, st.tuples(st.integers(3, 12), st.integers(3, 12), st.just(3)))


def flat(value: int, side: int = 8) -> UInt8Array:
    return np.full((side, side, 3), value, np.uint8)


def test_a_darkening_is_negative_and_does_not_wrap() -> None:
    difference = prepare.difference_image(flat(200), flat(10))
    assert difference.dtype == np.float32
    assert (difference == -190.0).all()


@given(IMAGES)
def test_swapping_the_shots_turns_the_sign(first: UInt8Array) -> None:
    second = np.ascontiguousarray(first[::-1, ::-1])
    forward = prepare.difference_image(first, second)
    assert np.array_equal(forward, -prepare.difference_image(second, first))


def test_a_single_hot_pixel_leaves_no_trace() -> None:
    hot = flat(100)
    hot[4, 4] = 255
    difference = prepare.difference_image(prepare.smoothed(flat(100)), prepare.smoothed(hot))
    assert (difference == 0.0).all()


def test_a_lone_pixel_of_the_difference_leaves_no_trace() -> None:
    lone = flat(100)
    lone[4, 4] = 140  # as noise makes of two shots that are smoothed each on its own
    assert (prepare.difference_image(flat(100), lone) == 0.0).all()


def test_shots_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        prepare.difference_image(flat(1, 8), flat(1, 9))


@given(hnp.arrays(np.float32, (2, 3, 6, 5), elements=st.floats(-200, 200, width=32)))
def test_standardised_channels_have_mean_0_and_deviation_1_or_nothing_at_all(
    patches: prepare.FloatArray,
) -> None:
    result = prepare.standardised(patches)
    assert np.isfinite(result).all()
    deviation = patches.std(axis=(2, 3))
    structured = deviation > 1e-2
    assert np.abs(result.mean(axis=(2, 3))[structured]).max(initial=0.0) < 2e-2
    assert np.allclose(result.std(axis=(2, 3))[structured], 1.0, atol=2e-2)
    assert (
        np.abs(result[~structured]).max(initial=0.0) < 1e3
    )  # a flat channel stays small, never a quotient by 0


def test_patches_come_row_by_row_with_their_channels() -> None:
    image = np.zeros((4, 6, 3), np.float32)
    image[0:2, 2:4, 1] = 5.0
    patches = prepare.patches_of(image, 2)
    assert patches.shape == (6, 3, 2, 2)
    assert (patches[1, 1] == 5.0).all()
    assert patches.sum() == patches[1, 1].sum()


def test_the_crop_is_the_middle_of_the_image() -> None:
    image = np.zeros((10, 14, 3), np.uint8)
    image[3:7, 5:9] = 9
    assert (prepare.central_crop(image, 4) == 9).all()


def test_an_image_smaller_than_the_crop_is_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match=r"8 x 8 px is too small for a central crop of 448 px"):
        prepare.central_crop(flat(1), 448)


def test_contrast_is_the_deviation_of_the_grey_values() -> None:
    patches = np.zeros((1, 3, 2, 2), np.float32)
    patches[0, :, 0, :] = 30.0
    assert prepare.contrast_of(patches)[0] == pytest.approx(15.0)


def test_contrasts_of_an_image_are_those_of_its_patches() -> None:
    image = np.random.default_rng(4).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    image[:, :, 1] //= 3
    found = prepare.contrasts_of(prepare.planes_of(image), 4)
    np.testing.assert_allclose(found, prepare.contrast_of(prepare.patches_of(image, 4)), rtol=1e-6)
    assert (prepare.contrasts_of(prepare.planes_of(flat(200)), 4) == 0.0).all()


def test_patches_of_a_single_shot_are_those_of_the_smoothed_frame() -> None:
    frame = np.random.default_rng(5).integers(0, 256, (23, 31, 3)).astype(np.uint8)
    for corners in ([(7, 11)], [(0, 0), (15, 23), (4, 6)]):
        cut = [
            prepare.smoothed(frame)[top : top + 8, left : left + 8].transpose(2, 0, 1)
            for top, left in corners
        ]
        patches = np.stack(cut).astype(np.float32)
        batch, contrasts = prepare.single_shot_batch(frame, corners, 8)
        np.testing.assert_allclose(batch, prepare.standardised(patches), rtol=0.0, atol=1e-5)
        np.testing.assert_allclose(contrasts, prepare.contrast_of(patches), rtol=1e-6)


def test_a_pair_shows_the_second_shot_after_the_difference() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 256, (2, 9, 13, 3)).astype(np.uint8)
    before, after = prepare.planes_of(first), prepare.planes_of(second)
    batch = prepare.two_shot_batch(before, after, 4, with_second=True)
    assert batch.shape == (6, 6, 4, 4)
    seen = prepare.two_shot_image(first, second, with_second=True)
    assert np.array_equal(seen[..., 3:], second)
    wanted = prepare.standardised(prepare.patches_of(seen, 4))
    np.testing.assert_allclose(batch, wanted, rtol=0.0, atol=1e-6)
    alone = prepare.two_shot_batch(before, after, 4, with_second=False)
    assert np.array_equal(alone, batch[:, :3])


def test_a_channel_without_contrast_stays_small_in_a_batch() -> None:
    before, after = prepare.planes_of(flat(100)), prepare.planes_of(flat(120))
    assert (prepare.two_shot_batch(before, after, 4, with_second=True) == 0.0).all()
