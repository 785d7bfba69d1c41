"""Images of layered objects at many heights through many instruments, in torch."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from tools.rendering.transfer import Transfers

REFINEMENT = 8  # of the short profiles, of which the nearest sample is then taken


@dataclass(frozen=True)
class Layered:
    """Objects as thin layers.

    Attributes:
        densities: float32 (n, layers, 3, s, s).
        phase_rad: float32 (n, layers, s, s).
        heights_um: of the layers above the focus, float32 (n, layers).
    """

    densities: torch.Tensor
    phase_rad: torch.Tensor
    heights_um: torch.Tensor


class Imager:
    """Computes images of objects with `side_px`; the inner `inner_px` are returned."""

    def __init__(self, side_px: int, inner_px: int, device: str) -> None:
        self.side_px, self.inner_px = side_px, inner_px
        begin = (side_px - inner_px) // 2
        self._inner = slice(begin, begin + inner_px)
        self._fy = torch.fft.fftfreq(side_px, device=device)[:, None]
        self._fx = torch.fft.rfftfreq(side_px, device=device)[None, :]
        # In parts of the greatest frequency of a profile, which is the corner of the grid whatever the sampling is.
        self._radius = torch.hypot(self._fy, self._fx) * math.sqrt(2.0)
        self._pixel = torch.sinc(self._fy) * torch.sinc(self._fx)

    def densities(
        self, objects: Layered, transfers: Transfers, setting: torch.Tensor, z_um: torch.Tensor
    ) -> torch.Tensor:
        """Return image densities float32 (n, planes, 3, inner, inner), with the stage at `z_um` (n, planes).

        `setting` int64 (n,) is the number of the instrument of each object. Each shot is moved sideways by 0.04 px, as
        a stage never stops at exactly the same place.
        """
        n, planes = z_um.shape
        device = z_um.device
        density = torch.fft.rfft2(objects.densities)
        phase = torch.fft.rfft2(objects.phase_rad)
        image = torch.zeros((), dtype=torch.complex64, device=device)
        n_fine = (transfers.absorption.shape[-1] - 1) * REFINEMENT + 1
        nearest = (self._radius * (n_fine - 1)).round().long().clamp_max(n_fine - 1)
        for layer in range(density.shape[1]):
            position = (z_um + objects.heights_um[:, layer, None] - transfers.first_z_um) / transfers.step_um
            position = position.clamp(0, transfers.absorption.shape[1] - 1.001)
            below = position.floor().long()
            share = (position - below)[..., None, None]
            of = setting[:, None].expand(n, planes)

            def at(profiles: torch.Tensor) -> torch.Tensor:
                rows = profiles[of, below] * (1 - share) + profiles[of, below + 1] * share  # noqa: B023
                fine = functional.interpolate(
                    rows.reshape(n * planes, 3, -1), size=n_fine, mode="linear", align_corners=True
                )
                return fine.reshape(n, planes, 3, n_fine)[..., nearest]

            part = density[:, layer, None] * at(transfers.absorption)
            part += phase[:, layer, None, None] * at(transfers.phase)
            image = image + part
        shift = 0.04 * torch.randn(n, planes, 2, device=device)
        turn = self._fy * shift[..., 0, None, None] + self._fx * shift[..., 1, None, None]
        image = image * (self._pixel * torch.polar(torch.ones_like(turn), -2 * math.pi * turn))[:, :, None]
        whole = torch.fft.irfft2(image, s=(self.side_px, self.side_px))
        return whole[..., self._inner, self._inner]
