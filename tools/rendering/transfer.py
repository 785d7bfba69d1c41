"""Transfer functions of random optical settings, at many heights, in a tenth of the time.

The formulas are those of `parfocal.edge.simscope.optics`, which a test compares. There one setting takes a second; a
training needs thousands.
"""

import math

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.simscope.optics import N_RADIAL_FREQUENCIES, Optics, radial_frequencies
from tools.arrays import FloatArray

Float64Array = NDArray[np.float64]

# Neighbouring points of the condenser may differ by this phase. Beyond it the sum breaks up into ghost images.
MAX_PHASE_STEP_RAD = 2.0
MIN_POINTS, MAX_POINTS = 63, 171
MAX_BIN_RAD = 0.3  # width of a bin of paths, at the greatest height


def points_per_diameter(optics: Optics, max_z_um: float) -> int:
    """Return how many points across the condenser a sum needs for heights up to `max_z_um`."""
    sine = min(optics.condenser_sigma * optics.na, 0.98 * optics.n_medium) / optics.n_medium
    slope = sine / math.sqrt(1.0 - sine**2)
    diameter = 2.0 * optics.condenser_sigma * optics.na / min(optics.wavelengths_um)
    steps = max_z_um * 2.0 * math.pi * slope * diameter / MAX_PHASE_STEP_RAD
    return int(np.clip(2 * math.ceil(steps / 2.0) + 1, MIN_POINTS, MAX_POINTS))


def transfers(optics: Optics, z_um: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return absorption and phase transfer at the stage heights `z_um` above the focus, each (n_z, 3, n_q)."""
    absorption = np.empty((len(z_um), 3, N_RADIAL_FREQUENCIES), np.float32)
    phase = np.empty_like(absorption)
    for channel, (wavelength_um, shift_um) in enumerate(
        zip(optics.wavelengths_um, optics.chromatic_shift_um, strict=True)
    ):
        transfer = _one_sided(optics, wavelength_um, np.asarray(z_um, np.float64) - shift_um)
        absorption[:, channel] = transfer.real
        phase[:, channel] = 2.0 * transfer.imag
    return absorption, phase


def _one_sided(optics: Optics, wavelength_um: float, z_um: Float64Array) -> NDArray[np.complex64]:
    """Return `sum_s S(s) P*(s) P(s + q)` at the heights `z_um` (n_z,), (n_z, n_q)."""
    q = radial_frequencies(optics.um_per_px).astype(np.float64)
    cutoff = optics.na / wavelength_um
    count = points_per_diameter(optics, float(np.abs(z_um).max()))
    axis = np.linspace(-1.0, 1.0, count) * optics.condenser_sigma * cutoff
    sx, sy = np.meshgrid(axis, axis[axis >= 0.0])  # the lower half of the source mirrors the upper
    inside = sx**2 + sy**2 <= (optics.condenser_sigma * cutoff) ** 2 * (1.0 + 1e-9)
    sx, sy = sx[inside], sy[inside]
    weight = np.where(sy > 0.0, 2.0, 1.0)
    weight /= weight.sum()
    shifted = (sx[:, None] + q[None, :]) ** 2 + (sy**2)[:, None]
    passes = shifted <= cutoff**2 * (1.0 + 1e-9)
    path_source, aberration_source = _pupil(optics, wavelength_um, (sx**2 + sy**2)[:, None])
    path, aberration = _pupil(optics, wavelength_um, np.minimum(shifted, cutoff**2))
    point, column = np.nonzero(passes)
    turned = (aberration_source[point, 0] - aberration[passes]).astype(np.float32)
    waves = weight[point] * np.exp(1j * turned)
    return _sum_of_waves(waves, path[passes] - path_source[point, 0], column, z_um)


def _sum_of_waves(
    waves: NDArray[np.complex128], path: Float64Array, column: NDArray[np.int64], z_um: Float64Array
) -> NDArray[np.complex64]:
    """Return `sum waves exp(-i z path)` of the waves of each frequency `column`, (n_z, n_q).

    The paths of each frequency are first counted in narrow bins, shared between two neighbours. That is a thousand
    times fewer exponentials than one for every source point and height.
    """
    step = MAX_BIN_RAD / max(float(np.abs(z_um).max()), 1e-6)
    lowest = float(path.min())
    n_bins = int((float(path.max()) - lowest) / step) + 2
    position = (path - lowest) / step
    below = position.astype(np.int64)
    share = position - below
    place = column * n_bins + below
    size = N_RADIAL_FREQUENCIES * n_bins + 1
    counted = np.zeros(size, np.complex128)
    for offset, part in ((0, 1.0 - share), (1, share)):
        counted += np.bincount(place + offset, waves.real * part, size)
        counted += 1j * np.bincount(place + offset, waves.imag * part, size)
    bins = lowest + step * np.arange(n_bins)
    turns = np.exp(-1j * z_um[:, None] * bins).astype(np.complex64)
    # Sharing between two bins damps a wave by sinc^2, which is undone here.
    damping = np.sinc(z_um * step / (2.0 * math.pi)) ** 2
    summed = turns @ counted[:-1].reshape(N_RADIAL_FREQUENCIES, n_bins).T.astype(np.complex64)
    return np.asarray(summed / damping[:, None], np.complex64)


def _pupil(
    optics: Optics, wavelength_um: float, frequency_squared: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the phase of the pupil in rad: per um of defocus, and of the spherical aberration."""
    wavenumber = optics.n_medium / wavelength_um
    path = 2.0 * math.pi * (np.sqrt(wavenumber**2 - frequency_squared) - wavenumber)
    rho2 = frequency_squared * (wavelength_um / optics.na) ** 2
    return path, 2.0 * math.pi * optics.w040_waves * (rho2**2 - rho2)
