"""Take shots above and below the focus and print how sharp each is.

The curve peaks at the focus; its width shows the depth of field.
"""

import parfocal

with parfocal.simulated(seed=1) as scope:
    focus_z_um = scope.focus(x_um=20_000, y_um=10_000).z_um
    shots = []
    for k in range(-6, 7):
        scope.move(z_um=focus_z_um + k)
        shots.append(scope.shot())
    sharpest = max(shot.sharpness for shot in shots)
    for shot in shots:
        bar = "#" * round(50 * shot.sharpness / sharpest)
        print(f"{shot.z_um - focus_z_um:+6.2f} um  {bar}")
