"""Whether a picture in a scan shows nothing but dust on glass."""

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.picture.prepare import contrast_of, patches_of, smoothed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.dust import without_dust


def is_dust_alone(pixels: UInt8Array, config: FocusConfig, um_per_px: float) -> bool:
    """Whether a picture (h, w, 3), reduced by `config.downsample`, is blank but for grains of dust.

    `um_per_px`: of the camera.
    """
    cleared = without_dust(pixels, um_per_px * config.downsample)
    if cleared is pixels:
        return False
    contrasts = contrast_of(patches_of(smoothed(cleared), config.patch_px))
    return bool(contrasts.max() < config.blank_contrast)
