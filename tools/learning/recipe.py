"""The settings of a training."""

from dataclasses import dataclass

from parfocal.engines.model.contract import CHANNELS, Kind
from tools.networks.focus import FocusNet
from tools.networks.layers import Body
from tools.networks.single import SingleNet
from tools.networks.two_shot import TwoShotNet

SPECTRA_ONLY = "spectra-only"


@dataclass(frozen=True)
class Recipe:
    """The settings of a training, apart from its data and duration. The model card lists them."""

    kind: Kind = "pair"
    head: str = "spectrum"
    delta_um: float = 2.0
    patch_px: int = 224
    crop_px: int = 128
    seed: int = 1
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    warm_up_steps: int = 300
    average_decay: float = 0.998
    planes_together: int = 1

    def network(self) -> Body:
        """Return an untrained body of this kind, with the linear head for its training."""
        if self.kind == "single":
            return SingleNet()
        flatten_px = self.patch_px if self.head == "flatten" else None
        return TwoShotNet(CHANNELS[self.kind], flatten_px)

    def with_spectra(self, body: Body | None) -> FocusNet:
        """Return the network whose features a head reads: the spectra, with a body unless the head is without."""
        return FocusNet(body, CHANNELS[self.kind], self.patch_px)

    @property
    def has_body(self) -> bool:
        """Whether there are convolutions beside the spectra."""
        return self.head != SPECTRA_ONLY
