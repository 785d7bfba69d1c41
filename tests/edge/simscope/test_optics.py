"""The transfer functions against waves: Abbe imaging of small objects, with no transfer function in it.

Each point of the condenser sends a plane wave through the object. The wave is propagated to the focal plane, cut off
and delayed by the pupil, and its intensity is added to those of the other points.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.simscope import scene
from parfocal.edge.simscope.optics import Optics, radial_grid, spread, transfer_profiles
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]

SIDE_PX, UM_PER_PX = 128, 0.25
MIDDLE = SIDE_PX // 2
SOURCE_POINTS = 9  # along a diameter of the condenser
GREEN_UM = 0.54
PLAIN = Optics(chromatic_shift_um=(0.0, 0.0, 0.0), w040_waves=0.0, um_per_px=UM_PER_PX)
BOTH_SIDES_UM = (-3.0, -1.0, 0.0, 1.0, 3.0)

x_um, y_um = np.meshgrid(*[(np.arange(SIDE_PX) - MIDDLE) * UM_PER_PX] * 2)
SPOT = np.exp(-(x_um**2 + y_um**2) / 2.0 / 1.5**2)  # the bead of docs/optics.md
DOT = np.exp(-(x_um**2 + y_um**2) / 2.0 / 0.5**2)
STRIPE = np.where(np.abs(x_um) < 6.0, 1.0, 0.0)  # two edges
NOTHING = np.zeros_like(SPOT)


def after(wave: Complex, distance_um: float, tilt: tuple[float, float], um: float) -> Complex:
    """Return a wave after `distance_um` of free space along the light."""
    moved: Complex = np.fft.ifft2(np.fft.fft2(wave) * np.exp(2j * np.pi * cycles(distance_um, tilt, um)))
    return moved


def cycles(distance_um: float, tilt: tuple[float, float], um: float) -> Float:
    """Return by how many waves `distance_um` of free space advances each frequency, `exp(+ikz)`, without their mean."""
    advance: Float = distance_um * (np.sqrt(np.maximum(um**-2 - squared_frequency(tilt), 0.0)) - 1.0 / um)
    return advance


def squared_frequency(tilt: tuple[float, float]) -> Float:
    """Return the squares of the transverse frequencies of a wave whose carrier is a plane wave of this `tilt`."""
    f = np.fft.fftfreq(SIDE_PX, UM_PER_PX)
    squared: Float = (f[None, :] + tilt[0]) ** 2 + (f[:, None] + tilt[1]) ** 2
    return squared


def wave_image(layers: list[tuple[float, Complex]], stage_um: float, optics: Optics, um: float) -> Float:
    """Return the image of thin layers (height, transmission), from the lowest up, over an empty background.

    The light goes up. With the stage at `stage_um` above its focus, a layer at `height` lies `stage_um + height` above
    the focal plane.
    """
    rim = optics.na / um
    axis = np.linspace(-1.0, 1.0, SOURCE_POINTS) * optics.condenser_sigma * rim
    tilts = [(a, b) for a in axis for b in axis if np.hypot(a, b) <= optics.condenser_sigma * rim * 1.000001]
    total = np.zeros((SIDE_PX, SIDE_PX))
    for tilt in tilts:
        at_um, wave = layers[0]
        for height_um, transmission in layers[1:]:
            wave = after(wave, height_um - at_um, tilt, um) * transmission
            at_um = height_um
        rho2 = squared_frequency(tilt) / rim**2
        # A rim that focuses nearer to the objective delays the wave less there: the path is shorter by w040.
        shorter_waves = optics.w040_waves * (rho2**2 - rho2)
        waves = cycles(-(stage_um + at_um), tilt, um) - shorter_waves
        pupil = np.where(rho2 <= 1.000001, np.exp(2j * np.pi * waves), 0.0)
        total += np.abs(np.fft.ifft2(np.fft.fft2(wave) * pupil)) ** 2
    return total / len(tilts)


def our_image(
    layers: list[tuple[float, Float, Float]], stage_um: float, optics: Optics, channel: int = 1
) -> Float:
    """Return the product's image of layers (height, optical density, phase)."""
    index, fraction, _ = radial_grid((SIDE_PX, SIDE_PX), UM_PER_PX)
    spectrum = np.zeros((SIDE_PX, SIDE_PX // 2 + 1), np.complex128)
    for height_um, density, phase_rad in layers:
        absorption, phase = transfer_profiles(optics, np.array([stage_um + height_um], np.float32))
        spectrum += np.fft.rfft2(density) * spread(absorption[0, channel], index, fraction)
        spectrum += np.fft.rfft2(phase_rad) * spread(phase[0, channel], index, fraction)
    image: Float = np.exp(-np.fft.irfft2(spectrum, (SIDE_PX, SIDE_PX)))
    return image


def transmission(density: Float, phase_rad: Float) -> Complex:
    """Return the amplitude behind a thin object; a longer optical path delays, which `exp(+ikz)` counts as positive."""
    amplitude: Complex = np.exp(-density / 2.0 + 1j * phase_rad)
    return amplitude


@functools.cache
def bead_by_waves(stage_um: float, peak_rad: float) -> Float:
    return wave_image([(0.0, transmission(NOTHING, peak_rad * SPOT))], stage_um, PLAIN, GREEN_UM)


def test_the_reference_gathers_light_behind_a_denser_bead() -> None:
    """A denser bead is a converging lens. This is what fixes the sign, whatever the algebra says."""
    bead = transmission(NOTHING, 0.3 * SPOT)
    behind, before = (np.abs(after(bead, d_um, (0.0, 0.0), GREEN_UM)) ** 2 for d_um in (3.0, -3.0))
    assert behind[MIDDLE, MIDDLE] > 1.02
    assert before[MIDDLE, MIDDLE] < 0.98


@pytest.mark.parametrize(("stage_um", "middle"), [(3.0, 0.955), (-3.0, 1.046)])
def test_a_denser_bead_is_dark_with_the_stage_too_high_and_bright_too_low(
    stage_um: float, middle: float
) -> None:
    assert bead_by_waves(stage_um, 0.3)[MIDDLE, MIDDLE] == pytest.approx(middle, abs=0.001)
    ours = our_image([(0.0, NOTHING, 0.3 * SPOT)], stage_um, PLAIN)
    assert ours[MIDDLE, MIDDLE] == pytest.approx(middle, abs=0.002)


@pytest.mark.parametrize("stage_um", BOTH_SIDES_UM)
def test_the_whole_image_of_a_bead_is_that_of_waves(stage_um: float) -> None:
    ours = our_image([(0.0, NOTHING, 0.3 * SPOT)], stage_um, PLAIN)
    assert np.abs(ours - bead_by_waves(stage_um, 0.3)).max() < 0.003


@pytest.mark.parametrize(("peak_rad", "least", "most"), [(1.0, 0.0, 0.02), (3.0, 0.08, 0.2)])
def test_the_weak_object_form_holds_to_one_radian(peak_rad: float, least: float, most: float) -> None:
    ours = our_image([(0.0, NOTHING, peak_rad * SPOT)], -3.0, PLAIN)
    assert least <= np.abs(ours - bead_by_waves(-3.0, peak_rad)).max() < most


@pytest.mark.parametrize("w040_waves", [-0.15, 0.15])
@pytest.mark.parametrize("stage_um", [-2.0, 2.0])
@pytest.mark.parametrize("phase_rad", [0.0, 0.15])
@pytest.mark.parametrize("shape", [DOT, STRIPE], ids=["dot", "edges"])
def test_a_dot_and_an_edge_are_those_of_waves(
    shape: Float, phase_rad: float, stage_um: float, w040_waves: float
) -> None:
    optics = replace(PLAIN, w040_waves=w040_waves)
    by_waves = wave_image([(0.0, transmission(0.25 * shape, phase_rad * shape))], stage_um, optics, GREEN_UM)
    ours = our_image([(0.0, 0.25 * shape, phase_rad * shape)], stage_um, optics)
    assert np.abs(ours - by_waves).max() < 0.008


def test_a_thick_object_is_that_of_waves_through_one_layer_after_the_other() -> None:
    left, right = (0.2 * np.exp(-((x_um - a) ** 2 + y_um**2) / 2.0 / 1.5**2) for a in (-4.0, 4.0))
    for stage_um in (-2.0, 2.0):
        by_waves = wave_image(
            [(-2.0, transmission(left, left)), (2.0, transmission(right, right))], stage_um, PLAIN, GREEN_UM
        )
        ours = our_image([(-2.0, left, left), (2.0, right, right)], stage_um, PLAIN)
        assert np.abs(ours - by_waves).max() < 0.006


def peak(image: Float) -> float:
    return float(1.0 - image[MIDDLE, MIDDLE])


def test_a_rim_that_focuses_nearer_to_the_objective_is_sharpest_with_a_higher_stage() -> None:
    optics = replace(PLAIN, w040_waves=0.3, condenser_sigma=0.1)
    for lines, sharpest_um, other_um in (
        (42, 0.0, -0.4),
        (22, -0.4, 0.0),
    ):  # the rim of the pupil, and halfway
        grating = 0.1 + 0.1 * np.cos(2.0 * np.pi * lines / SIDE_PX * x_um / UM_PER_PX)
        sharp, other = (
            (
                np.ptp(wave_image([(0.0, transmission(grating, NOTHING))], z_um, optics, GREEN_UM)[0]),
                np.ptp(our_image([(0.0, grating, NOTHING)], z_um, optics)[0]),
            )
            for z_um in (sharpest_um, other_um)
        )
        assert sharp[0] > 1.02 * other[0]
        assert sharp[1] > 1.02 * other[1]


@pytest.mark.parametrize(("channel", "shift_um"), [(0, 0.3), (1, 0.0), (2, -0.3)])
def test_each_colour_is_that_of_waves_about_its_own_sharpest_height(channel: int, shift_um: float) -> None:
    optics = replace(PLAIN, chromatic_shift_um=(0.3, 0.0, -0.3))
    um = optics.wavelengths_um[channel]
    heights_um = (shift_um - 1.0, shift_um, shift_um + 1.0)
    by_waves = [
        wave_image([(0.0, transmission(0.25 * DOT, NOTHING))], z - shift_um, PLAIN, um) for z in heights_um
    ]
    ours = [our_image([(0.0, 0.25 * DOT, NOTHING)], z, optics, channel) for z in heights_um]
    assert np.abs(np.stack(ours) - np.stack(by_waves)).max() < 0.008
    assert peak(ours[1]) > max(peak(ours[0]), peak(ours[2]))


def spot_slide() -> VirtualSlide:
    """Return a slide with one spot of optical density 0.3 in its middle."""
    pixels = np.rint(240.0 * np.exp(-0.3 * SPOT))[..., None].repeat(3, axis=2).astype(np.uint8)
    return VirtualSlide(SlideImage(pixels, UM_PER_PX), UM_PER_PX, seed=1, blank_share=0.0)


@pytest.mark.parametrize("stage_um", [-3.0, 3.0])
def test_the_virtual_slide_is_imaged_as_waves_would_be(stage_um: float) -> None:
    optics = replace(PLAIN, w040_waves=0.15)
    made = scene.Scene(spot_slide(), optics, (16, 16), seed=1)
    middle_um = MIDDLE * UM_PER_PX
    green = np.exp(-made._image_density(middle_um, middle_um, stage_um)[1])
    phase_rad = 0.3 * scene.PHASE_PER_DENSITY_RAD * SPOT
    by_waves = wave_image([(0.0, transmission(0.3 * SPOT, phase_rad))], stage_um, optics, GREEN_UM)
    part = slice(MIDDLE - 8, MIDDLE + 8)
    assert np.abs(green - by_waves[part, part]).max() < 0.004
