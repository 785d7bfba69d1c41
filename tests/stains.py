"""Stained tissue that comes with a package, so that a clone without any data shows what tests of tissue promise."""

import numpy as np
from numpy.typing import NDArray

HEMATOXYLIN, EOSIN, DAB = range(3)  # of skimage.color.rgb2hed


def ihc() -> NDArray[np.uint8]:
    """Tissue with hematoxylin and DAB, 512 x 512 px at 0.5 um/px; it lies in the wheel of scikit-image."""
    from skimage import data

    pixels: NDArray[np.uint8] = np.asarray(data.immunohistochemistry(), np.uint8)
    return pixels


def h_and_e() -> NDArray[np.uint8]:
    """The same tissue as eosin would stain it in the place of DAB."""
    return _stained(dab=0.0, eosin=0.7, hematoxylin=1.0)


def faint() -> NDArray[np.uint8]:
    """The same tissue with a quarter of its stains, as a section that was left in them too briefly."""
    return _stained(dab=0.25, eosin=0.0, hematoxylin=0.25)


def _stained(dab: float, eosin: float, hematoxylin: float) -> NDArray[np.uint8]:
    """Tissue with other shares of its stains; eosin lies where DAB did."""
    from skimage.color import hed2rgb, rgb2hed

    stains = rgb2hed(ihc())
    stains = np.clip(stains, 0.0, np.percentile(stains, 99.9, axis=(0, 1)))  # a black pixel would stay black
    shares = (hematoxylin * stains[..., HEMATOXYLIN], eosin * stains[..., DAB], dab * stains[..., DAB])
    pixels: NDArray[np.uint8] = np.rint(255.0 * hed2rgb(np.stack(shares, axis=-1))).astype(np.uint8)
    return pixels
