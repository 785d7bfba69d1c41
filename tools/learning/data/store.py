"""Frames held on the device that trains, and patches cut from them at any place, as a network takes them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tools.rendering.instruments import ODD_KEPT_ONE_IN
from tools.rendering.objectives import Objective
from tools.rendering.parts import BLOCK_PX, SAMPLE_PX, Frame
from tools.rendering.seen import MIN_CONTRAST, PATCH_PX, SINGLE_PX
from tools.tissue.textures import Rng

RIM_PX = 1  # the second median of a difference reads one pixel beyond a patch

# Exchanges that put the median of nine values in place 4 (Devillard 1998, "Fast median search").
EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where to cut, each (n,): number of the frame, of the plane, and row and column in squares of `BLOCK_PX`."""

    frame: Indices
    plane: Indices
    row: Indices
    column: Indices


@dataclass(frozen=True)
class Cut:
    """Patches in grey levels (n, channels, side, side), and for each (n,) its truth.

    `usable` says which have enough contrast. The others stay, so that each batch has the same shape: a GPU plans its
    work anew, for seconds, for each shape that it meets.
    """

    x: torch.Tensor
    distance_um: torch.Tensor
    contrast: torch.Tensor
    condenser: torch.Tensor

    @property
    def usable(self) -> torch.Tensor:
        """Which patches have enough contrast, (n,)."""
        return self.contrast >= MIN_CONTRAST


class FrameStore:
    """The frames of one objective on a device, with room for `capacity` of them."""

    def __init__(self, objective: Objective, capacity: int, device: str) -> None:
        self.side_px = SAMPLE_PX - 2 * objective.margin_px
        self.n_frames = self.n_planes = 0
        self.capacity = capacity
        self._device = device
        self._margin = objective.margin_px // BLOCK_PX
        self._shots = torch.empty(0, dtype=torch.uint8, device=device)
        self._z_um = torch.empty(0, device=device)
        self._condenser = torch.zeros(capacity, device=device)
        self._objects = np.zeros(capacity, np.int64)
        self._odd = np.zeros(capacity, np.bool_)
        self._focus_um = {
            side_px: torch.zeros((capacity, *2 * (self._steps(side_px) + 1,)), device=device)
            for side_px in (PATCH_PX, SINGLE_PX)
        }

    def add(self, frame: Frame) -> bool:
        """Add a frame. Returns False, and adds nothing, when there is no room."""
        number = self.n_frames
        if number >= self.capacity:
            return False
        if not number:
            self.n_planes = len(frame.shots)
            shape = (self.capacity * self.n_planes, *frame.shots.shape[1:])
            self._shots = torch.empty(shape, dtype=torch.uint8, device=self._device)
            self._z_um = torch.zeros((self.capacity, self.n_planes), device=self._device)
        first = number * self.n_planes
        self._shots[first : first + self.n_planes] = torch.from_numpy(frame.shots).to(self._device)
        self._z_um[number] = torch.from_numpy(frame.z_um).to(self._device)
        self._condenser[number] = frame.condenser
        self._objects[number], self._odd[number] = frame.objects, frame.odd
        for side_px, focus_um in self._focus_um.items():
            focus_um[number] = self._focus_of(frame, side_px)
        self.n_frames += 1
        return True

    def _steps(self, side_px: int) -> int:
        """The last place in a row where a square fits."""
        return (self.side_px - side_px) // BLOCK_PX

    def _focus_of(self, frame: Frame, side_px: int) -> torch.Tensor:
        """Return the height of the focus of the square at each place, (n, n)."""
        inner = slice(self._margin, frame.mass.shape[1] - self._margin)
        mass = torch.from_numpy(frame.mass[:, inner, inner]).to(self._device).double()
        means = torch.nn.functional.avg_pool2d(mass[None], side_px // BLOCK_PX, 1)[0]
        height_um = torch.from_numpy(frame.height_um).to(self._device).double()
        focus_um = -(height_um[:, None, None] * means).sum(0) / means.sum(0).clamp_min(1e-9)
        return focus_um.float()

    def teaching(self, objects: int | None = None) -> Indices:
        """Return the frames that a single shot learns from, of all or with this many objects."""
        numbers = np.arange(self.n_frames)
        kept = ~self._odd[numbers] | (numbers % ODD_KEPT_ONE_IN == 0)
        return np.flatnonzero(kept if objects is None else kept & (self._objects[numbers] == objects))

    def patches(self, frame: Indices, plane: Indices, rng: Rng) -> Places:
        """Return a random place for a patch of 224 px in each of some frames, inside of one object."""
        n, quartered = len(frame), self._objects[frame] == 4
        side_px = PATCH_PX + 2 * RIM_PX
        last, middle_px = self._steps(side_px), self.side_px // 2
        before, after = (middle_px - side_px) // BLOCK_PX, -(-middle_px // BLOCK_PX)
        places = []
        for _ in range(2):
            lower, upper = rng.integers(0, before + 1, n), rng.integers(after, last + 1, n)
            half = np.where(rng.random(n) < 0.5, lower, upper)
            places.append(np.where(quartered, half, rng.integers(0, last + 1, n)))
        return Places(frame, plane, *places)

    def squares(self, frame: Indices, plane: Indices, rng: Rng) -> Places:
        """Return a random place for a shot of 672 px in each of some frames, which have one object."""
        row, column = rng.integers(0, self._steps(SINGLE_PX) + 1, (2, len(frame)))
        return Places(frame, plane, row, column)

    def pairs_at(self, places: Places) -> Cut:
        """Return the difference and the second of two shots. The planes are those of the second one, from 1."""
        before = Places(places.frame, places.plane - 1, places.row, places.column)
        first, second = (self._windows(p, PATCH_PX + 2 * RIM_PX) for p in (before, places))
        difference = median(second.to(torch.int16) - first.to(torch.int16)).float()
        shot = second[:, :, RIM_PX:-RIM_PX, RIM_PX:-RIM_PX].float()
        return self._cut(torch.cat([difference, shot], dim=1), shot, places)

    def shots_at(self, places: Places, side_px: int) -> Cut:
        """Return single shots of `side_px`, 224 or 672."""
        shot = self._windows(places, side_px).float()
        return self._cut(shot, shot, places)

    def _windows(self, places: Places, side_px: int) -> torch.Tensor:
        """Return squares of the shots, uint8 (n, 3, side, side)."""
        view = self._shots.unfold(1, side_px, BLOCK_PX).unfold(2, side_px, BLOCK_PX)
        shots = places.frame * self.n_planes + places.plane
        return view[self._on_device(shots), self._on_device(places.row), self._on_device(places.column)]

    def _cut(self, x: torch.Tensor, shot: torch.Tensor, places: Places) -> Cut:
        frame, plane, row, column = map(
            self._on_device, (places.frame, places.plane, places.row, places.column)
        )
        return Cut(
            x,
            self._focus_um[shot.shape[-1]][frame, row, column] - self._z_um[frame, plane],
            shot.mean(dim=1).std(dim=(1, 2), correction=0),
            self._condenser[frame],
        )

    def _on_device(self, indices: Indices) -> torch.Tensor:
        return torch.from_numpy(np.asarray(indices, np.int64)).to(self._device)


def median(x: torch.Tensor) -> torch.Tensor:
    """Return the 3 x 3 median of (n, c, h, w) without the outermost pixels, (n, c, h - 2, w - 2)."""
    height, width = x.shape[2] - 2, x.shape[3] - 2
    v = [x[:, :, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    for a, b in EXCHANGES:
        v[a], v[b] = torch.minimum(v[a], v[b]), torch.maximum(v[a], v[b])
    return v[4]
