"""Training batches without end: every patch is rendered once, and seen once."""

from dataclasses import dataclass

import numpy as np
import torch

from tools.cameras import random_camera
from tools.rendering import cameras, prepared
from tools.rendering.imaging import Imager
from tools.rendering.instruments import SINGLE_SHOT, TWO_SHOT, random_instrument
from tools.rendering.objectives import Objective
from tools.rendering.objects import ObjectPool
from tools.rendering.thickness import KIND_SHARES, KINDS, SmoothFields, layered
from tools.rendering.transfer import transfers

PLANES = 5  # of one object in a batch: the network cannot learn the distance from the object
STEP_PER_DELTA = (0.92, 1.04)  # a stage moves in whole motor steps
BEYOND = 1.4  # heights reach beyond the range of the model, so that it recognises far distances
PROFILE_STEP_UM = 0.25  # between profiles, in the depth of field of the reference objective
CAMERAS_PER_BATCH = 8
JPEG_ROOM_PX = 16  # patches lie anywhere on the blocks of a JPEG
LAYERS_UM = 6.0  # layers lie within this of the focus, in the reference's depth of field


@dataclass(frozen=True)
class Batch:
    """Patches with their truth.

    Attributes:
        x: standardised, float32 (n, channels, p, p).
        distance_um: from the (second) shot to the focus, positive up, (n,).
        contrast: in grey levels, (n,).
        condenser: aperture over that of the objective, (n,).
    """

    x: torch.Tensor
    distance_um: torch.Tensor
    contrast: torch.Tensor
    condenser: torch.Tensor


class Stream:
    """Renders batches for one objective and kind of model."""

    def __init__(
        self,
        objective: Objective,
        single: bool,
        patch_px: int,
        pool: ObjectPool,
        seed: int,
        device: str,
        settings: int,
    ) -> None:
        """`settings` is the number of instruments."""
        self._objective, self._single, self._patch_px = objective, single, patch_px
        self._pool, self._device = pool, device
        self._rng = np.random.default_rng([seed, 77])
        inner_px = patch_px + JPEG_ROOM_PX
        self.side_px = inner_px + 2 * objective.margin_px
        self._imager = Imager(self.side_px, inner_px, device)
        self._fields = SmoothFields(self.side_px + 200, device)
        spread = SINGLE_SHOT if single else TWO_SHOT
        optics = [random_instrument(objective.optics, spread, self._rng) for _ in range(settings)]
        reach_um = BEYOND * objective.range_um + LAYERS_UM * objective.depth
        self._instruments = transfers(optics, reach_um, PROFILE_STEP_UM * objective.depth, device)

    def batch(self, objects: int) -> Batch:
        """Return a batch of about `objects` objects at `PLANES` heights: flat, thick and tilted ones."""
        shares = np.array(KIND_SHARES) * objects
        parts = [self._part(kind, max(1, round(share))) for kind, share in zip(KINDS, shares, strict=True)]
        return Batch(*(torch.cat([vars(part)[name] for part in parts]) for name in vars(parts[0])))

    def _part(self, kind: str, n: int) -> Batch:
        device, rng = self._device, self._rng
        density = self._objects(n)
        objects = layered(
            density, kind, self._objective.optics.um_per_px, self._fields, rng, self._objective.depth
        )
        setting = torch.randint(0, len(self._instruments.optics), (n,), device=device)
        z_um = self._heights(n)
        images = self._imager.densities(objects, self._instruments, setting, z_um)
        groups = max(1, round(CAMERAS_PER_BATCH * n / 40))
        shots = torch.cat(
            [cameras.shots_of(part, random_camera(rng)) for part in torch.chunk(images, groups)]
        )
        seen = prepared.singles_of(shots) if self._single else prepared.pairs_of(shots)
        top, left = (int(k) for k in rng.integers(0, JPEG_ROOM_PX + 1, 2))
        seen = seen[..., top : top + self._patch_px, left : left + self._patch_px]
        distance_um = -z_um if self._single else -z_um[:, 1:]
        planes = distance_um.shape[1]
        flat = seen.reshape(n * planes, *seen.shape[2:])
        condensers = torch.tensor([o.condenser_sigma for o in self._instruments.optics], device=device)
        return Batch(
            prepared.standardised(flat),
            distance_um.reshape(-1),
            prepared.contrast_of(flat[:, -3:]),
            condensers[setting][:, None].expand(n, planes).reshape(-1),
        )

    def _heights(self, n: int) -> torch.Tensor:
        """Return stage heights above the focus (n, planes): any for single shots, a ladder for pairs."""
        reach_um = BEYOND * self._objective.range_um
        if self._single:
            return reach_um * (2.0 * torch.rand(n, PLANES, device=self._device) - 1.0)
        low, high = STEP_PER_DELTA
        step_um = self._objective.delta_um * (low + (high - low) * torch.rand(n, 1, device=self._device))
        first_um = -reach_um + (2.0 * reach_um - (PLANES - 1) * step_um) * torch.rand(
            n, 1, device=self._device
        )
        return first_um + step_um * torch.arange(PLANES, device=self._device)

    def _objects(self, n: int) -> torch.Tensor:
        """Return random parts of objects, mirrored, turned and recoloured, float32 (n, 3, side, side)."""
        densities, device = self._pool.densities, self._device
        ready, whole = self._pool.ready, densities.shape[-1]
        number = torch.randint(0, ready, (n,), device=device)
        place = torch.arange(self.side_px, device=device)
        rows, columns = (
            torch.randint(0, whole - self.side_px + 1, (n, 1), device=device) + place for _ in range(2)
        )
        rows = torch.where(torch.rand(n, 1, device=device) < 0.5, rows.flip(1), rows)
        columns = torch.where(torch.rand(n, 1, device=device) < 0.5, columns.flip(1), columns)
        colours = torch.arange(3, device=device)[None, :, None, None]
        part = densities[
            number[:, None, None, None], colours, rows[:, None, :, None], columns[:, None, None, :]
        ]
        part = part.float()
        if self._rng.random() < 0.5:
            part = part.transpose(2, 3)
        mix = torch.from_numpy(self._mixes(n)).to(device)
        return torch.einsum("nkc,nchw->nkhw", mix, part).clamp(0.0, 1.8)

    def _mixes(self, n: int) -> np.ndarray:
        """Return matrices (n, 3, 3) that give objects another stain, or the same, stronger or fainter."""
        rng = self._rng
        mixes = rng.dirichlet(np.full(3, 0.6), size=(n, 3))
        mixes[rng.random(n) < 0.6] = np.eye(3)
        return (mixes * np.exp(rng.uniform(np.log(0.5), np.log(1.4), (n, 1, 1)))).astype(np.float32)
