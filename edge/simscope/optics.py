"""Partially coherent image formation of a thin stained object, as radial transfer functions.

This is the weak-object approximation in optical density (OD): the image is the background times
`exp(-(OD filtered by the absorption transfer + phase filtered by the phase transfer))`. Pupil and source are round, so
both transfer functions are real and depend only on the radial frequency. They are computed once per height as 1-D
profiles, and interpolated on a 2-D frequency grid.

`docs/optics.md` has the conventions, the derivation, and how far the approximation holds.

Not modelled: objects with more than about one radian of phase, aliasing of detail finer than a pixel, scattering inside
the object, astigmatism, coma, field curvature.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

N_RADIAL_FREQUENCIES = 192
REFERENCE_NA = 0.75


@dataclass(frozen=True)
class Optics:
    """One optical setting; the defaults are the reference objective 20x / NA 0.75.

    Channels are in the order red, green, blue. `chromatic_shift_um` is the stage height at which a channel is sharpest,
    relative to green. `w040_waves` is primary spherical aberration at the rim of the pupil, balanced with defocus so
    that z = 0 is the plane of least wavefront variance: the plane that an operator calls focus. It is positive where
    the rim of the pupil focuses nearer to the objective than its middle, as in a simple lens: a higher stage brings the
    finest detail into focus.

    `source_points` are those of the condenser disc along one diameter, an odd number. With 41 the phase step between
    neighbours is less than 2 rad at 16 um of defocus and NA 0.75, so the sum does not break up into ghost images.
    """

    na: float = REFERENCE_NA
    n_medium: float = 1.0  # a dry objective: the stage moves in air
    condenser_sigma: float = 0.6
    wavelengths_um: tuple[float, float, float] = (0.62, 0.54, 0.46)
    chromatic_shift_um: tuple[float, float, float] = (0.3, 0.0, -0.3)
    w040_waves: float = 0.15
    um_per_px: float = 0.345
    source_points: int = 41

    def __post_init__(self) -> None:
        if not 0.0 < self.na < self.n_medium:
            raise ValueError(f"NA {self.na} must be between 0 and the refractive index {self.n_medium}")
        if not 0.0 < self.condenser_sigma <= 1.0:
            raise ValueError(f"condenser_sigma {self.condenser_sigma} must be in (0, 1]")
        if self.um_per_px <= 0.0:
            raise ValueError(f"um_per_px {self.um_per_px} must be positive")

    @property
    def depth(self) -> float:
        """Depth of field over that of the reference objective."""
        return (REFERENCE_NA / self.na) ** 2


def radial_frequencies(um_per_px: float) -> FloatArray:
    """Radial frequencies in cycles/um, from 0 to the corner of the pixel grid's Nyquist square; (n_q,)."""
    return np.linspace(0.0, np.sqrt(2.0) / (2.0 * um_per_px), N_RADIAL_FREQUENCIES, dtype=np.float32)


def transfer_profiles(optics: Optics, z_um: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Absorption and phase transfer at heights `z_um` (stage minus focus, positive where the stage is too high).

    Returns two float32 arrays (n_z, 3, n_q) over `radial_frequencies(optics.um_per_px)`: how much a unit of optical
    density, and a radian of phase, add to the optical density of the image. Phase is positive where the optical path
    through the object is longer. A positive phase transfer means that such a place is dark.
    """
    q = radial_frequencies(optics.um_per_px).astype(np.float64)
    absorption = np.empty((len(z_um), 3, len(q)), np.float32)
    phase = np.empty_like(absorption)
    for channel, (wavelength_um, shift_um) in enumerate(
        zip(optics.wavelengths_um, optics.chromatic_shift_um, strict=True)
    ):
        transfer = _one_sided_transfer(optics, wavelength_um, np.asarray(z_um, np.float64) - shift_um, q)
        # An object exp(-OD/2 + i phase) changes the intensity by -OD (H+ + H-)/2 + i phase (H+ - H-), and
        # H- = conj(H+) for round pupils. The amplitude has half of the density, but all of the phase: hence the 2.
        absorption[:, channel] = transfer.real
        phase[:, channel] = 2.0 * transfer.imag
    return absorption, phase


def _one_sided_transfer(
    optics: Optics, wavelength_um: float, z_um: NDArray[np.float64], q: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """`sum_s S(s) P*(s) P(s + q)` at the frequencies `q` along one direction; (n_z, n_q), 1 at q = 0."""
    weight, path, aberration = _source_points(optics, wavelength_um)
    transfer = np.empty((len(z_um), len(q)), np.complex128)
    for row, height_um in enumerate(z_um):
        # A stage that is too high puts the focal plane before the object, so the wave goes back by z: path * -z. The
        # aberration is the advance of the wavefront, so it has the same sign.
        phase = path * np.float32(height_um) + aberration
        transfer[row].real = np.einsum("sq,sq->q", weight, np.cos(phase))
        transfer[row].imag = np.einsum("sq,sq->q", weight, -np.sin(phase))
    return transfer


@functools.lru_cache(maxsize=16)  # 1.6 MB each
def _source_points(optics: Optics, wavelength_um: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each point of the source and each frequency: weight, 0 outside the pupil; phase per um, rad; aberration, rad."""
    q = radial_frequencies(optics.um_per_px).astype(np.float64)
    cutoff = optics.na / wavelength_um
    axis = np.linspace(-1.0, 1.0, optics.source_points) * optics.condenser_sigma * cutoff
    sx, sy = np.meshgrid(axis, axis[axis >= 0.0])  # the lower half of the source mirrors the upper
    inside = sx**2 + sy**2 <= (optics.condenser_sigma * cutoff) ** 2 * (1.0 + 1e-9)
    sx, sy = sx[inside], sy[inside]
    weight = np.where(sy > 0.0, 2.0, 1.0)
    weight /= weight.sum()

    shifted = (sx[:, None] + q[None, :]) ** 2 + (sy**2)[:, None]
    passes = shifted <= cutoff**2 * (1.0 + 1e-9)
    path_source, aberration_source = _pupil_phase(optics, wavelength_um, (sx**2 + sy**2)[:, None])
    path, aberration = _pupil_phase(optics, wavelength_um, np.minimum(shifted, cutoff**2))
    return (
        (weight[:, None] * passes).astype(np.float32),
        (path - path_source).astype(np.float32),
        (aberration - aberration_source).astype(np.float32),
    )


def _pupil_phase(
    optics: Optics, wavelength_um: float, frequency_squared: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Phase of the pupil in rad: per um of defocus, and of the spherical aberration."""
    wavenumber = optics.n_medium / wavelength_um
    path = 2.0 * np.pi * (np.sqrt(wavenumber**2 - frequency_squared) - wavenumber)
    rho2 = frequency_squared * (wavelength_um / optics.na) ** 2
    return path, 2.0 * np.pi * optics.w040_waves * (rho2**2 - rho2)


def radial_grid(shape: tuple[int, int], um_per_px: float) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Positions of the frequencies of `rfft2` of an image of `shape` among `radial_frequencies`.

    Returns the index of the sample below, the fraction towards the next one, and the transfer of a square pixel, each
    (h, w // 2 + 1).
    """
    fy = np.fft.fftfreq(shape[0], um_per_px)[:, None]
    fx = np.fft.rfftfreq(shape[1], um_per_px)[None, :]
    q = radial_frequencies(um_per_px)
    position = np.hypot(fy, fx) / q[1]
    index = np.clip(np.floor(position).astype(np.int64), 0, len(q) - 2)
    pixel = np.sinc(fy * um_per_px) * np.sinc(fx * um_per_px)
    return index, (position - index).astype(np.float32), pixel.astype(np.float32)


def spread(profile: FloatArray, index: NDArray[np.int64], fraction: FloatArray) -> FloatArray:
    """A radial profile (..., n_q) on the 2-D grid of `radial_grid`; (..., h, w // 2 + 1)."""
    below = profile[..., index]
    result: FloatArray = below + (profile[..., index + 1] - below) * fraction
    return result
