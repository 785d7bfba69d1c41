"""Intervals of small samples."""

import math

# Two-sided 95 % quantile of Student's t for 1, 2, ... degrees of freedom; beyond these the last one, which is larger
# than it must be.
_T_95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def half_width_95(variance: float, degrees: int) -> float:
    """Half the width of the 95 % interval of a value; `variance` was estimated with `degrees` (>= 1) of freedom."""
    return _T_95[min(degrees, len(_T_95)) - 1] * math.sqrt(variance)
