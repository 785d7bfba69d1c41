"""The input with the two shots exchanged."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.focus.picture import prepare  # noqa: E402
from parfocal.engines.model.contract import Kind  # noqa: E402
from tools.learning.judged.physics import swapped_shots  # noqa: E402


@pytest.mark.parametrize("with_second", [False, True])
def test_swapped_shots_are_what_preparing_them_in_reverse_order_gives(with_second: bool) -> None:
    # Smooth shots, whose difference the second median does not change.
    ramp = np.linspace(60, 140, 32)
    first = np.tile(ramp[None, :, None], (32, 1, 3)).astype(np.uint8)
    second = np.tile(ramp[:, None, None], (1, 32, 3)).astype(np.uint8)
    forward, backward = (
        prepare.patches_of(prepare.two_shot_image(a, b, with_second), 32)
        for a, b in ((first, second), (second, first))
    )
    kind: Kind = "pair" if with_second else "difference"
    swapped = swapped_shots(torch.from_numpy(forward), kind).numpy()
    assert np.allclose(swapped, backward, atol=3.0)  # the median still moves the corners a little
    assert np.abs(forward - backward).max() > 100.0
