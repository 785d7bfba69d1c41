"""Stained tissue that comes with scikit-image, so tests of tissue run in a clone without any data."""

import numpy as np
from numpy.typing import NDArray

HEMATOXYLIN, EOSIN, DAB = range(3)  # of skimage.color.rgb2hed


def ihc() -> NDArray[np.uint8]:
    """Tissue with hematoxylin and DAB, RGB uint8 (512, 512, 3) at 0.5 um per px, from the wheel of scikit-image."""
    from skimage import data

    pixels: NDArray[np.uint8] = np.asarray(data.immunohistochemistry(), np.uint8)
    return pixels


def h_and_e() -> NDArray[np.uint8]:
    """The same tissue with eosin in place of DAB."""
    return _stained(dab=0.0, eosin=0.7, hematoxylin=1.0)


def faint() -> NDArray[np.uint8]:
    """The same tissue with a quarter of its stains, like a section that was stained too briefly."""
    return _stained(dab=0.25, eosin=0.0, hematoxylin=0.25)


def _stained(dab: float, eosin: float, hematoxylin: float) -> NDArray[np.uint8]:
    """The tissue with other amounts of its stains; eosin is put where DAB was."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(ihc())
    stains = np.clip(
        stains, 0.0, np.percentile(stains, 99.9, axis=(0, 1))
    )  # without it a black pixel stays black
    shares = (hematoxylin * stains[..., HEMATOXYLIN], eosin * stains[..., DAB], dab * stains[..., DAB])
    pixels: NDArray[np.uint8] = np.rint(255.0 * hed2rgb(np.stack(shares, axis=-1))).astype(np.uint8)
    return pixels
