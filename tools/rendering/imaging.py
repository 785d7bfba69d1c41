"""Images of a sample as large as a frame, at many heights of the stage: the spectra of its layers are shared."""

import math

import numpy as np
import scipy  # loads scipy.fft, which takes a while, when it is first used
from numpy.typing import NDArray

from parfocal.edge.simscope.optics import N_RADIAL_FREQUENCIES, Optics
from tools.arrays import FloatArray
from tools.rendering.samples import Sample
from tools.rendering.transfer import transfers

PROFILE_STEP_UM = 0.25  # a quarter of the reference objective's depth of field
# Interpolating the short profiles eightfold and taking the nearest sample needs a third of the time of interpolating at
# every point of the grid. Its error is below the camera noise.
REFINEMENT = 8
N_FINE = (N_RADIAL_FREQUENCIES - 1) * REFINEMENT + 1


class Instrument:
    """The transfer functions of one optical setting, for heights within +-`reach_um`."""

    def __init__(self, optics: Optics, reach_um: float, depth: float = 1.0) -> None:
        """`depth` is the depth of field over that of the reference objective: a deeper one changes more slowly."""
        self.optics = optics
        self._step_um = PROFILE_STEP_UM * depth
        count = 2 * math.ceil(reach_um / self._step_um) + 1
        self._first_um = -(count // 2) * self._step_um
        z_um = (self._first_um + self._step_um * np.arange(count)).astype(np.float32)
        self._profiles = np.stack(transfers(optics, z_um))

    def at(self, z_um: float) -> FloatArray:
        """Return absorption and phase transfer at one height, over `N_FINE` frequencies; (2, 3, N_FINE)."""
        position = min(max((z_um - self._first_um) / self._step_um, 0.0), self._profiles.shape[1] - 1.001)
        below, share = int(position), np.float32(position % 1.0)
        rows = self._profiles[:, below] * (1 - share) + self._profiles[:, below + 1] * share
        fine = np.arange(N_FINE) / REFINEMENT
        under = np.minimum(fine.astype(np.int64), N_RADIAL_FREQUENCIES - 2)
        part = (fine - under).astype(np.float32)
        result: FloatArray = rows[..., under] * (1 - part) + rows[..., under + 1] * part
        return result


class Grid:
    """Square samples of `side_px`, an even number, of which an image shows all but a margin; and their frequencies."""

    def __init__(self, side_px: int, margin_px: int) -> None:
        """`margin_px` is how far defocus blurs into the image from outside. Raises ValueError for an odd side."""
        if side_px % 2:
            raise ValueError(f"a sample of {side_px} px has an odd side")
        self.side_px, self.margin_px, self.image_px = side_px, margin_px, side_px - 2 * margin_px
        self.fy = np.fft.fftfreq(side_px).astype(np.float32)[:, None]
        self.fx = np.fft.rfftfreq(side_px).astype(np.float32)[None, :]
        # In parts of the greatest frequency of a profile, the corner of the grid whatever the sampling is. Rows beyond
        # the middle have negative frequencies; their transfer mirrors those before it.
        radius = np.hypot(self.fy[: side_px // 2 + 1], self.fx) * math.sqrt(2.0)
        self.nearest: NDArray[np.int32] = np.minimum(np.rint(radius * (N_FINE - 1)), N_FINE - 1).astype(
            np.int32
        )
        self.pixel = np.sinc(self.fy) * np.sinc(self.fx)


class Imaged:
    """A sample through an instrument."""

    def __init__(self, sample: Sample, instrument: Instrument, grid: Grid) -> None:
        self._instrument, self._grid, self._height_um = instrument, grid, sample.height_um
        self._phase_per_density_rad = np.float32(sample.phase_per_density_rad)
        self._has_phase = bool(sample.phase_rad.any())
        self._spectrum = np.empty((3, grid.side_px, grid.side_px // 2 + 1), np.complex64)
        self._part = np.empty_like(self._spectrum[0])
        self._density = scipy.fft.rfft2(sample.density, workers=1) * grid.pixel
        self._phase = scipy.fft.rfft2(sample.phase_rad, workers=1) * grid.pixel

    def density(self, z_um: float, shift_px: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
        """Return the image density (3, h, w) with the stage at `z_um`, without the margin.

        The image is moved down and to the right by `shift_px`.
        """
        grid = self._grid
        half = grid.side_px // 2
        profiles = [self._instrument.at(z_um + float(height_um)) for height_um in self._height_um]
        for channel in range(3):
            spectrum, part = self._spectrum[channel], self._part
            for layer, (absorption, phase) in enumerate(profiles):
                delays = phase[channel].take(grid.nearest)
                absorbs = absorption[channel].take(grid.nearest)
                if self._phase_per_density_rad:
                    absorbs += self._phase_per_density_rad * delays
                # Rows beyond the middle have the transfer of those before it, in reverse.
                for rows, transfer in (
                    (slice(0, half + 1), slice(None)),
                    (slice(half + 1, None), slice(half - 1, 0, -1)),
                ):
                    out = spectrum[rows]
                    np.multiply(
                        self._density[layer, channel, rows],
                        absorbs[transfer],
                        out=part[rows] if layer else out,
                    )
                    if layer:
                        out += part[rows]
                    if self._has_phase:
                        np.multiply(self._phase[layer, rows], delays[transfer], out=part[rows])
                        out += part[rows]
        if any(shift_px):
            self._spectrum *= np.exp(-2j * np.pi * shift_px[0] * grid.fy).astype(np.complex64)
            self._spectrum *= np.exp(-2j * np.pi * shift_px[1] * grid.fx).astype(np.complex64)
        # The inverse of `rfft2` without the rows of the margin.
        inner = slice(grid.margin_px, grid.side_px - grid.margin_px)
        rows = scipy.fft.ifft(self._spectrum, axis=1, workers=1)[:, inner]
        image: FloatArray = scipy.fft.irfft(rows, grid.side_px, axis=2, workers=1)[..., inner]
        return image
