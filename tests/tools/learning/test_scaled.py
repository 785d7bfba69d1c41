"""Shots through one objective teach the head of another. Needs the training extra."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.simscope.optics import radial_frequencies  # noqa: E402
from tools.learning.data.features import Features  # noqa: E402
from tools.learning.data.scaled import aligned, scaled  # noqa: E402
from tools.networks.spectrum import COLOURS, N_RINGS, RING_EDGES  # noqa: E402
from tools.rendering.objectives import OBJECTIVES  # noqa: E402
from tools.rendering.transfer import transfers  # noqa: E402

FROM, TO = OBJECTIVES["20x/0.75"].optics, OBJECTIVES["10x/0.3"].optics
# As many um through the one objective as 1 um through the other.
FACTOR = 6.55


def features(spectral: np.ndarray, distance_um: np.ndarray) -> Features:
    n = len(spectral)
    return Features(
        spectral.astype(np.float32),
        np.zeros((n, 7), np.float32),
        distance_um.astype(np.float32),
        np.full(n, 20.0, np.float32),
        np.full(n, 0.6, np.float32),
        np.full(n, "made"),
        np.arange(n),
    )


def difference(factor: float) -> float:
    """Return how far the transfer of one objective is from that of the other at `factor` times the distance."""
    z_um = np.array([-7.0, -3.0, 2.0, 5.0], np.float32)
    shift_um = [k / FACTOR for k in TO.chromatic_shift_um]
    theirs = replace(FROM, chromatic_shift_um=(shift_um[0], shift_um[1], shift_um[2]))
    parts = np.linspace(0.05, 0.8, 16)  # of the aperture
    found = []
    for optics, heights_um in ((theirs, z_um), (TO, factor * z_um)):
        frequencies = radial_frequencies(optics.um_per_px)
        found.append(
            [
                np.interp(parts * optics.na / wavelength_um, frequencies, row)
                for transfer in transfers(optics, heights_um)
                for colour, wavelength_um in enumerate(optics.wavelengths_um)
                for row in transfer[:, colour]
            ]
        )
    return float(np.abs(np.array(found[0]) - np.array(found[1])).mean())


def test_defocus_blurs_alike_through_both_objectives() -> None:
    assert difference(FACTOR) < 0.04
    assert difference(FACTOR) < 0.5 * min(difference(0.75 * FACTOR), difference(1.33 * FACTOR))


def test_spectra_and_distances_are_scaled() -> None:
    lines = (np.array(RING_EDGES[:-1]) + np.array(RING_EDGES[1:]) - 1.0) / 2.0
    falling = np.tile(-2.0 * np.log(lines), (COLOURS, 1))
    coherences = np.tile(1.2 - 0.3 * np.log(lines), (COLOURS - 1, 1))
    given = features(np.concatenate([falling, coherences]).reshape(1, -1), np.array([4.0]))
    found = scaled(given, OBJECTIVES["20x/0.75"], OBJECTIVES["10x/0.3"])
    assert found.distance_um == pytest.approx(4.0 * FACTOR, rel=0.002)
    assert found.pooled.shape == (1, 0)
    rings = found.spectral.reshape(-1, N_RINGS)
    ratio = FROM.na * FROM.um_per_px / (TO.na * TO.um_per_px)
    assert ratio > 1.2
    within = lines * ratio < lines[-1]
    np.testing.assert_allclose(rings[0, within], -2.0 * np.log(lines * ratio)[within], atol=1e-3)
    assert np.abs(rings[COLOURS:]).max() <= 1.0
    back = scaled(found, OBJECTIVES["10x/0.3"], OBJECTIVES["20x/0.75"])
    np.testing.assert_allclose(back.distance_um, given.distance_um, rtol=1e-5)


def test_aligned_features_have_the_mean_and_deviation_of_the_others() -> None:
    rng = np.random.default_rng(1)
    ones, others = rng.normal(3.0, 2.0, (500, 3)), rng.normal(-1.0, 0.5, (400, 3))
    found = aligned(ones.astype(np.float32), others.astype(np.float32))
    np.testing.assert_allclose(found.mean(axis=0), others.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found.std(axis=0), others.std(axis=0), rtol=0.01)
    assert np.corrcoef(found[:, 0], ones[:, 0])[0, 1] == pytest.approx(1.0)
