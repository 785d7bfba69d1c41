"""The virtual slide is laid and each of its pictures is computed once in a test process: many tests look at the same
heights of the same field. The noise of the camera stays that of each microscope.
"""

import hashlib
import threading
from collections import OrderedDict

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide

Picture = tuple[NDArray[np.float32], ...]

KEPT_BYTES = 128_000_000  # of pictures
LARGE_BYTES = 20_000_000  # a slide that is larger is laid anew

_lay_anew, _draw_anew = VirtualSlide.__init__, Scene._transmission
_laid: dict[object, list[NDArray[np.float32]]] = {}  # by what a slide shows and how finely
# By slide, optics and place; the last one used is at the end.
_drawn: OrderedDict[object, Picture] = OrderedDict()
_kept_bytes = 0
_turn = threading.Lock()  # a picture is drawn by whoever looks at it first


def share_pictures(patch: pytest.MonkeyPatch) -> None:
    """Let all virtual microscopes of this process share their slides and what these look like."""
    patch.setattr(VirtualSlide, "__init__", _lay)
    patch.setattr(Scene, "_transmission", _draw)


def _lay(
    slide: VirtualSlide, image: SlideImage, um_per_px: float, seed: int, blank_share: float = 0.15
) -> None:
    content = hashlib.sha256(np.ascontiguousarray(image.pixels).data).digest()
    key = (content, image.pixels.shape, image.um_per_px, um_per_px)
    if key in _laid:
        slide._planes = _laid[key]
        slide._um_per_px, slide._seed, slide._blank_share = um_per_px, seed, blank_share
    else:
        _lay_anew(slide, image, um_per_px, seed, blank_share)
        if sum(plane.nbytes for plane in slide._planes) <= LARGE_BYTES:
            _laid[key] = slide._planes
    slide.__dict__["key"] = (*key, seed, blank_share)


def _draw(scene: Scene, x_um: float, y_um: float, z_um: float) -> Picture:
    """What `Scene._transmission` returns."""
    with _turn:
        return _drawn_once(scene, x_um, y_um, z_um)


def _drawn_once(scene: Scene, x_um: float, y_um: float, z_um: float) -> Picture:
    """A scene keeps what lies under it while a field stays within a pixel, and so does this."""
    global _kept_bytes  # noqa: PLW0603
    slide, um_per_px = scene._slide, scene._optics.um_per_px / scene._binned
    # One that was laid before these tests began to share, or is of a kind that has more to it.
    if "key" not in slide.__dict__ or type(slide) is not VirtualSlide:
        return _draw_anew(scene, x_um, y_um, z_um)
    pixel = (round(x_um / um_per_px), round(y_um / um_per_px))
    if scene.__dict__.get("pixel") != pixel:
        scene.__dict__.update(pixel=pixel, arrived_um=(x_um, y_um))
    arrived_um: tuple[float, float] = scene.__dict__["arrived_um"]
    key = (slide.__dict__["key"], scene._optics, scene._shape_px, scene._binned, *arrived_um, z_um)
    if key in _drawn:
        _drawn.move_to_end(key)
        return _drawn[key]
    if scene.__dict__.get("spectrum_um") != arrived_um:
        scene._spectra.clear()
        scene._spectrum(*arrived_um)
        scene.__dict__["spectrum_um"] = arrived_um
    picture = _drawn[key] = _draw_anew(scene, x_um, y_um, z_um)
    for plane in picture:
        plane.flags.writeable = False  # it is everybody's
    _kept_bytes += sum(plane.nbytes for plane in picture)
    while _kept_bytes > KEPT_BYTES:
        _kept_bytes -= sum(plane.nbytes for plane in _drawn.popitem(last=False)[1])
    return picture
