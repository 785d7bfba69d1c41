"""Whether a shot is exposed well enough to judge: too dark or too bright, every field looks empty."""

import cv2

from parfocal.edge.pixels import UInt8Array

# Grey levels of 255. No brightfield slide lets less than 2 % of the light through.
MIN_MEAN_LEVEL = 5.0
SATURATED_LEVEL = 254
MAX_SATURATED_SHARE = 0.9
# Of a large picture so many rows are looked at, evenly spread: the stage waits meanwhile.
ROWS = 128


def exposure_fault(pixels: UInt8Array) -> str | None:
    """What is wrong with the exposure of a shot, uint8 (h, w, 3), and what to check; None if it is good."""
    rows = pixels[:: max(1, pixels.shape[0] // ROWS)]
    mean = sum(cv2.sumElems(rows)) / rows.size
    if mean < MIN_MEAN_LEVEL:
        return (
            f"the picture is black (mean {mean:.1f} of 255): check the lamp, the slide and camera.exposure_s"
        )
    if mean < MAX_SATURATED_SHARE * SATURATED_LEVEL:  # so much white would be brighter
        return None
    white = cv2.inRange(rows, (SATURATED_LEVEL,) * 3, (255,) * 3)
    saturated = cv2.countNonZero(white) / white.size
    if saturated > MAX_SATURATED_SHARE:
        return (
            f"the picture is saturated ({100.0 * saturated:.0f} % of it white): lower camera.exposure_s or "
            "scan.lamp_duty"
        )
    return None
