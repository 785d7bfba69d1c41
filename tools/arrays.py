"""Array types that the programs of this folder share."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Int8Array = NDArray[np.int8]
