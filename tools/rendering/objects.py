"""A pool of objects on a device, which grows while it is used."""

import torch

from tools.rendering.painting import Painters


class ObjectPool:
    """Densities float16 (n, 3, side, side) of objects, `ready` of them so far."""

    def __init__(self, painters: Painters, device: str) -> None:
        self._painters = painters
        shape = (painters.count, 3, painters.side_px, painters.side_px)
        self.densities = torch.empty(shape, dtype=torch.float16, device=device)
        self.ready = 0

    def fill(self, at_least: int) -> None:
        """Wait until there are `at_least` objects, or all of them."""
        while self.ready < min(at_least, self._painters.count):
            self.densities[self.ready] = torch.from_numpy(self._painters.take()).to(self.densities.device)
            self.ready += 1
