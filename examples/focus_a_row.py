"""Focus five neighbouring fields and print the height of the tissue along them.

Each field starts from the height of the one before, so most take four images.
"""

import parfocal

with parfocal.simulated(seed=1) as scope:
    for k in range(5):
        x_um = 20_000 + k * 400
        try:
            result = scope.focus(x_um=x_um, y_um=10_000)
        except parfocal.FocusLost as lost:
            print(f"x={x_um} um: {lost}")
            continue
        if result.outcome == "blank":
            print(f"x={x_um} um: an empty field")
        else:
            print(f"x={x_um} um: focus at z={result.z_um:.2f} um, {result.images} images")
