"""Whether a shot is exposed well enough to judge: too dark or too bright, every field looks empty."""

from parfocal.edge.pixels import UInt8Array

# Grey levels of 255. No brightfield slide lets less than 2 % of the light through.
MIN_MEAN_LEVEL = 5.0
SATURATED_LEVEL = 254
MAX_SATURATED_SHARE = 0.9


def exposure_fault(pixels: UInt8Array) -> str | None:
    """What is wrong with the exposure of a shot, uint8 (h, w, 3), and what to check; None if it is good."""
    mean = float(pixels.mean())
    if mean < MIN_MEAN_LEVEL:
        return (
            f"the picture is black (mean {mean:.1f} of 255): check the lamp, the slide and camera.exposure_s"
        )
    saturated = float((pixels.min(axis=2) >= SATURATED_LEVEL).mean())
    if saturated > MAX_SATURATED_SHARE:
        return (
            f"the picture is saturated ({100.0 * saturated:.0f} % of it white): lower camera.exposure_s or "
            "scan.lamp_duty"
        )
    return None
