"""What is rendered for a training is what the virtual microscope shows, and what the product prepares."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from parfocal.edge.focus.picture import prepare
from parfocal.edge.simscope import scene
from parfocal.edge.simscope.optics import Optics, transfer_profiles
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from tools.arrays import FloatArray
from tools.rendering import imaging, samples, seen
from tools.rendering.cameras import Camera, Exposing
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.instruments import CONDENSERS, SINGLE_SHOT, random_instrument, usual_instrument
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.transfer import points_per_diameter, transfers

GRID = Grid(144, 24)


def an_object(side_px: int, seed: int = 3) -> FloatArray:
    rng = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(rng.standard_normal((side_px, side_px)), (0, 0), 3.0) for _ in range(3)]
    return (0.4 + 4.0 * np.stack(fields)).clip(0.0, 1.5).astype(np.float32)


@pytest.mark.parametrize("optics", [Optics(), Optics(condenser_sigma=0.3, w040_waves=-0.1, na=0.65)])
def test_transfers_are_those_of_the_virtual_microscope(optics: Optics) -> None:
    z_um = np.array([-6.0, -1.5, 0.0, 4.5], np.float32)
    # Both sum over the points of a grid in the condenser, this one over more of them.
    for found, wanted, close in zip(
        transfers(optics, z_um), transfer_profiles(optics, z_um), (0.02, 0.04), strict=True
    ):
        assert np.abs(found - wanted).max() < close


def test_a_wide_condenser_far_from_the_focus_takes_more_points() -> None:
    assert points_per_diameter(Optics(), 4.0) < points_per_diameter(Optics(condenser_sigma=0.9), 16.0)


@pytest.mark.parametrize("z_um", [-4.3, 0.0, 3.0])
def test_an_image_is_that_of_the_virtual_microscope(z_um: float) -> None:
    pixels = np.random.default_rng(1).integers(60, 250, (144, 144, 3)).astype(np.uint8)
    slide = VirtualSlide(SlideImage(pixels, 0.345), 0.345, seed=1, blank_share=0.0)
    grid = Grid(2 * (144 // 2), scene.MARGIN_PX)
    virtual = scene.Scene(slide, Optics(), (grid.image_px, grid.image_px), seed=1)
    density = slide.density(0.0, 0.0, (144, 144))
    sample = samples.flat_sample(density, "slide", scene.PHASE_PER_DENSITY_RAD)
    found = Imaged(sample, Instrument(Optics(), 5.0), grid).density(z_um)
    wanted = np.stack(virtual._image_density(0.0, 0.0, z_um))
    assert wanted.std() > 0.02
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_an_objective_with_a_larger_depth_of_field_needs_fewer_heights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heights: list[int] = []

    def counted(optics: Optics, z_um: FloatArray) -> tuple[FloatArray, FloatArray]:
        heights.append(len(z_um))
        return transfers(optics, z_um)

    monkeypatch.setattr(imaging, "transfers", counted)
    objective = OBJECTIVES["10x/0.3"]
    imaged = [
        Imaged(
            samples.flat_sample(an_object(144), "flat", 0.3), Instrument(objective.optics, 16.0, depth), GRID
        )
        for depth in (1.0, objective.depth)
    ]
    assert heights[1] < heights[0] / 5
    fine, coarse = (one.density(7.0) for one in imaged)
    assert np.abs(coarse - fine).max() < 0.01 * np.abs(fine).max()


def test_a_phase_for_all_colours_is_that_of_each_where_they_absorb_alike() -> None:
    grey = np.repeat(an_object(144)[:1], 3, axis=0)
    whole = ((slice(0, 144), slice(0, 144)), "grey")
    level = np.zeros(1, np.float32)
    shared = samples.Sample(grey[None], 0.3 * grey[:1], 0.0, level, (whole,))
    own = samples.flat_sample(grey, "grey", 0.3)
    instrument = Instrument(Optics(), 4.0)
    images = [Imaged(sample, instrument, GRID).density(2.0) for sample in (shared, own)]
    assert np.allclose(images[0], images[1], atol=1e-4)
    absorbing = Imaged(samples.flat_sample(grey, "grey", 0.0), instrument, GRID).density(2.0)
    assert np.abs(images[0] - absorbing).max() > 0.02


def test_a_layer_is_in_focus_where_the_stage_is_lower_by_its_height() -> None:
    flat = samples.flat_sample(an_object(144), "flat", 0.3)
    high = replace(flat, height_um=np.array([1.5], np.float32))
    place = (slice(40, 90), slice(30, 80))
    assert high.focus_um(place) == pytest.approx(-1.5)
    instrument = Instrument(Optics(), 4.0)
    moved, wanted = (Imaged(s, instrument, GRID).density(z) for s, z in ((high, -1.5), (flat, 0.0)))
    assert np.allclose(moved, wanted, atol=1e-5)


def test_a_shift_moves_the_image_down_and_to_the_right() -> None:
    imaged = Imaged(samples.flat_sample(an_object(144), "flat", 0.0), Instrument(Optics(), 2.0), GRID)
    still, moved = imaged.density(1.0), imaged.density(1.0, (3.0, 2.0))
    assert np.allclose(moved[:, 3:, 2:], still[:, :-3, :-2], atol=1e-4)


@pytest.mark.parametrize("n_objects", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_layers_contain_all_of_the_objects(n_objects: int, seed: int) -> None:
    objects = [(f"object {k}", an_object(64, k)) for k in range(n_objects)]
    sample = samples.random_sample(objects, np.random.default_rng(seed), phase_per_density_rad=0.5)
    side_px = 64 if n_objects == 1 else 128
    whole = sample.density.sum(axis=0)
    assert whole.shape == (3, side_px, side_px)
    assert sample.phase_per_density_rad == 0.5
    assert not sample.phase_rad.any()
    for (rows, columns), group in sample.groups:
        density = dict(objects)[group]
        # Some objects have specks of dust, which only add.
        assert (whole[:, rows, columns] > density - 1e-4).all()
        assert np.mean(np.abs(whole[:, rows, columns] - density) < 1e-4) > 0.7
        assert sample.group(rows.start, columns.stop - 1) == group
        assert abs(sample.focus_um((rows, columns))) <= samples.THICKNESS_UM[1] / 2
    assert np.ptp(sample.height_um) <= samples.THICKNESS_UM[1]


def test_the_phase_of_stained_objects_is_mostly_positive() -> None:
    rng = np.random.default_rng(1)
    slopes = np.array([samples.random_phase_per_density_rad(rng) for _ in range(300)])
    assert 0.65 < np.mean(slopes > 0.1) < 0.9
    assert np.mean(np.abs(slopes) < 0.1) > 0.05
    assert slopes.min() < -0.1


def test_instruments_have_every_condenser_and_two_fifths_the_usual_one() -> None:
    rng = np.random.default_rng(2)
    condensers = np.array([random_instrument(Optics(), rng).condenser_sigma for _ in range(300)])
    assert CONDENSERS[0] <= condensers.min() < 0.3
    assert 0.9 < condensers.max() <= CONDENSERS[1]
    assert 0.35 < np.mean(np.abs(condensers - 0.6) <= 0.03) < 0.55


def test_half_of_the_instruments_of_small_samples_are_the_objective_itself() -> None:
    rng = np.random.default_rng(3)
    own = Optics()
    found = [random_instrument(own, rng, SINGLE_SHOT) for _ in range(300)]
    is_own = [
        abs(one.um_per_px / own.um_per_px - 1.0) <= 0.002
        and abs(one.na / own.na - 1.0) <= 0.005
        and abs(one.chromatic_shift_um[0] / own.chromatic_shift_um[0] - 1.0) <= 0.03
        and abs(one.w040_waves - own.w040_waves) < 0.04
        for one in found
    ]
    assert 0.4 < np.mean(is_own) < 0.6
    assert np.ptp([one.condenser_sigma for one, its in zip(found, is_own, strict=True) if its]) > 0.5


def test_a_usual_sample_is_flat_with_phase_by_its_density_through_the_objective_itself() -> None:
    rng, own = np.random.default_rng(4), Optics()
    for _ in range(20):
        one = usual_instrument(own, rng)
        assert abs(one.na / own.na - 1.0) <= 0.005
        assert abs(one.chromatic_shift_um[2] / own.chromatic_shift_um[2] - 1.0) <= 0.03
        assert abs(one.condenser_sigma - 0.6) <= 0.03
        sample = samples.usual_sample(an_object(96), "thin", rng)
        assert sample.height_um.tolist() == [0.0]
        assert not sample.phase_rad.any()
        assert 0.2 <= sample.phase_per_density_rad <= 0.4


def test_patches_are_what_the_microscope_prepares_with_their_distances() -> None:
    sample = samples.flat_sample(an_object(144), "flat", 0.3)
    sample = replace(sample, height_um=np.array([0.5], np.float32))
    rng = np.random.default_rng(1)
    camera = Exposing(Camera(), (GRID.image_px, GRID.image_px), rng)
    imaged = Imaged(sample, Instrument(Optics(), 6.0), GRID)
    heights_um = np.array([1.0, 3.0], np.float32)
    first, second = (prepare.smoothed(s) for (s,) in seen.shots_at(imaged, [camera], heights_um, rng))
    places = seen.places_in(sample, GRID, 40, rng)
    assert len(places) == 4
    pairs, singles = seen.pairs_of(first, second, 3.0, places), seen.singles_of(second, 3.0, places)
    assert pairs is not None
    assert singles is not None
    whole = prepare.two_shot_image(first, second, with_second=True)
    for k, place in enumerate(places):
        part = whole[place.top : place.top + 40, place.left : place.left + 40].transpose(2, 0, 1)
        assert np.array_equal(pairs.x[k], part)
    assert np.array_equal(singles.x, pairs.x[:, 3:])
    assert np.allclose(pairs.distance_um, -3.5)
    assert np.allclose(pairs.contrast, prepare.contrast_of(pairs.x[:, 3:]), atol=1e-3)
    blank = np.full_like(second, 230)
    assert seen.singles_of(blank, 3.0, places) is None


def test_places_do_not_cross_from_one_object_to_another() -> None:
    sample = samples.random_sample([(str(k), an_object(96, k)) for k in range(4)], np.random.default_rng(1))
    grid = Grid(192, 20)
    for seed in range(5):
        places = seen.places_in(sample, grid, 32, np.random.default_rng(seed))
        assert len(places) == 16
        taken = np.zeros((grid.image_px, grid.image_px), int)
        for place in places:
            corners = {
                sample.group(place.top + 20 + a, place.left + 20 + b) for a in (0, 31) for b in (0, 31)
            }
            assert corners == {place.group}
            taken[place.top : place.top + 32, place.left : place.left + 32] += 1
        assert taken.max() == 1
