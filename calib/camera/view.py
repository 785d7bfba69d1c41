"""How the picture lies on the stage: from pixels to moves."""

import math

import msgspec


class View(msgspec.Struct, frozen=True):
    """The size of a pixel on the sample, and how the camera is turned.

    `angle_deg`: the direction of +X of the stage in the picture, from right towards down; in -180..180. Without
    `is_mirrored`, +Y lies another 90 degrees farther, else 90 degrees back. Columns and rows of a picture grow with X
    and Y if the angle is 0 and nothing is mirrored. `um_per_px_uncertainty` is 0 for a configured size.
    """

    um_per_px: float
    angle_deg: float = 0.0
    is_mirrored: bool = False
    um_per_px_uncertainty: float = 0.0

    def um_from_px(self, dx_px: float, dy_px: float) -> tuple[float, float]:
        """The move in X and Y, um, that brings to the middle what lies (dx_px, dy_px) right of and below it."""
        cosine, sine = math.cos(math.radians(self.angle_deg)), math.sin(math.radians(self.angle_deg))
        along_px = dx_px * cosine + dy_px * sine
        across_px = -dx_px * sine + dy_px * cosine
        return self.um_per_px * along_px, self.um_per_px * (-across_px if self.is_mirrored else across_px)
