"""Focus one field and save what the microscope sees.

For a real microscope replace the `with` line by `with parfocal.open("parfocal.toml") as scope:`, and home it first
with `parfocal home` or `scope.home()`.
"""

import cv2

import parfocal

with parfocal.simulated(seed=1) as scope:
    result = scope.focus(x_um=20_000, y_um=10_000)
    print(result)
    if result.pixels is not None:
        cv2.imwrite("field.png", cv2.cvtColor(result.pixels, cv2.COLOR_RGB2BGR))
        print("field.png written")
