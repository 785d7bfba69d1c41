"""Features of spectra. Needs the training extra."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from tools.arrays import FloatArray  # noqa: E402
from tools.networks.spectrum import IS_SINE, LINES, N_RINGS, RING_EDGES, Spectrum, n_spectral  # noqa: E402

SIDE_PX = 224


def waves(line: int, angle_rad: float) -> FloatArray:
    """Return a patch (1, 3, 224, 224) with `line` waves across."""
    place = np.arange(SIDE_PX) * (2.0 * np.pi * line / SIDE_PX)
    phase = np.cos(angle_rad) * place[None, :] + np.sin(angle_rad) * place[:, None]
    return np.broadcast_to(np.cos(phase + 0.4), (1, 3, SIDE_PX, SIDE_PX)).astype(np.float32)


@pytest.mark.parametrize("line", [4, 11, 26, 50])
@pytest.mark.parametrize("angle_rad", [0.0, 0.7, np.pi / 2])
def test_a_wave_shows_in_the_ring_of_its_frequency(line: int, angle_rad: float) -> None:
    log_power = Spectrum(3, SIDE_PX)(torch.from_numpy(waves(line, angle_rad)))[0, :N_RINGS]
    ring = int(log_power.argmax())
    assert RING_EDGES[ring] <= line + 1
    assert line - 1 <= RING_EDGES[ring + 1]
    assert float(log_power[ring]) > float(log_power.median()) + 5.0


def test_rings_contain_the_powers_of_the_spectrum() -> None:
    x = torch.randn(1, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(SIDE_PX) / SIDE_PX)
    power = np.abs(np.fft.fft2(x[0, 0].numpy() * window * window[:, None])) ** 2 / SIDE_PX**2
    line = np.abs(np.fft.fftfreq(SIDE_PX, 1.0 / SIDE_PX))
    radius = np.rint(np.hypot(line[:, None], line[None, :]))
    power[0] *= 2.0  # line 0 has no sine
    power[:, 0] *= 2.0
    edges = itertools.pairwise(RING_EDGES)
    expected = [power[(radius >= begin) & (radius < end)].mean() for begin, end in edges]
    found = torch.exp(Spectrum(3, SIDE_PX)(x)[0, :N_RINGS]).numpy()
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=2e-3)
    np.testing.assert_allclose(found[-1], expected[-1], rtol=0.02)  # without the sines of the last line


def transform(side_px: int) -> FloatArray:
    """Return the whole matrix that the network applies in steps: windowed cosines and sines, (LINES, side_px)."""
    place = np.arange(side_px)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * place / side_px)
    turns = 2.0 * np.pi * np.outer(LINES, place) / 224.0
    rows = np.where(IS_SINE[:, None], np.sin(turns), np.cos(turns)) * window * np.sqrt(2.0 / side_px)
    return np.asarray(rows, np.float32)


@pytest.mark.parametrize("side_px", [SIDE_PX, 96])
def test_features_are_those_of_products_with_the_whole_transform(side_px: int) -> None:
    x = np.random.default_rng(1).normal(size=(2, 6, side_px, side_px)).cumsum(axis=3).astype(np.float32)
    x = (x - x.mean(axis=(2, 3), keepdims=True)) / x.std(axis=(2, 3), keepdims=True)
    z = transform(side_px) @ x.astype(np.float64) @ transform(side_px).T
    radius = np.rint(np.hypot(LINES[:, None], LINES[None, :]))
    one, two, last = ([*range(6), 0, 1, 2, 3, 5], [*range(6), 3, 4, 5, 4, 4], 11)
    products = z[:, one] * z[:, two]
    mean = np.stack(
        [
            products[:, :, (radius >= begin) & (radius < end)].mean(axis=2)
            for begin, end in itertools.pairwise(RING_EDGES)
        ],
        axis=2,
    )
    power = mean[:, :6]
    coherence = mean[:, 6:] / np.sqrt(power[:, one[6:]] * power[:, two[6:]] + 1e-10)
    expected = np.concatenate([np.log(power + 1e-5), coherence], axis=1).reshape(2, last * N_RINGS)
    found = Spectrum(6, side_px)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rotated_and_mirrored_patches_have_the_same_features() -> None:
    x = torch.randn(2, 6, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    spectrum = Spectrum(6, SIDE_PX)
    for other in (x.transpose(2, 3), x.flip(2).roll(1, 2), x.flip(3).roll(1, 3)):
        assert torch.allclose(spectrum(x), spectrum(other), atol=2e-3)


def test_a_shot_that_is_its_own_difference_is_coherent_with_it_and_another_is_not() -> None:
    generator = torch.Generator().manual_seed(1)
    one, other = (torch.randn(1, 3, SIDE_PX, SIDE_PX, generator=generator) for _ in range(2))
    coherence = slice(6 * N_RINGS, 9 * N_RINGS)
    spectrum = Spectrum(6, SIDE_PX)
    assert torch.allclose(
        spectrum(torch.cat([one, one], 1))[0, coherence], torch.ones(3 * N_RINGS), atol=1e-2
    )
    assert torch.allclose(
        spectrum(torch.cat([-one, one], 1))[0, coherence], -torch.ones(3 * N_RINGS), atol=1e-2
    )
    assert float(spectrum(torch.cat([one, other], 1))[0, coherence].abs().median()) < 0.2


def test_features_of_a_large_patch_are_the_mean_of_its_blocks() -> None:
    block = torch.randn(1, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    large = block.repeat(1, 1, 3, 3)
    assert torch.allclose(Spectrum(3, 3 * SIDE_PX)(large), Spectrum(3, SIDE_PX)(block), atol=1e-4)


@pytest.mark.parametrize(("channels", "rings"), [(3, 5), (6, 11)])
def test_number_of_features_is_what_the_head_expects(channels: int, rings: int) -> None:
    found = Spectrum(channels, SIDE_PX)(torch.zeros(2, channels, SIDE_PX, SIDE_PX))
    assert found.shape == (2, rings * N_RINGS) == (2, n_spectral(channels))
    assert bool(torch.isfinite(found).all())


def test_a_patch_that_is_not_a_multiple_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        Spectrum(3, 300)
