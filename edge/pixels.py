"""The one type of pixels in `edge`."""

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
