"""Names of the arrays that the programs of this folder hand about."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Int8Array = NDArray[np.int8]
