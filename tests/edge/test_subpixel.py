"""Pictures moved by a fraction of a pixel."""

import numpy as np
import pytest

from parfocal.edge.subpixel import REACH_PX, moved_back


@pytest.mark.parametrize(("x_px", "y_px"), [(0.0, 0.0), (0.37, -0.51), (-1.5, 1.25), (REACH_PX, -REACH_PX)])
def test_a_moved_picture_is_the_picture_beside_its_place(x_px: float, y_px: float) -> None:
    rows, columns = np.mgrid[0:40, 0:50].astype(np.float64)

    def wave(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 100.0 + 50.0 * np.sin(0.3 * x + 0.2 * y)

    found = moved_back(wave(columns, rows).astype(np.float32), x_px, y_px)
    assert found.dtype == np.float32
    inside = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(found[inside], wave(columns + x_px, rows + y_px)[inside], atol=0.1)
