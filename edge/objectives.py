"""Settings that go with an objective whose models ship: those of the focus, and the camera that its paper used."""

from typing import Any

# What differs from the defaults, which are those of 20x/0.75.
FOCUS_OF: dict[str, dict[str, Any]] = {
    "20x/0.75": {},
    # dastidar2020 4.2, 4.3: delta, the factor of 4, the height below the pivot, and 12 um of a range of +-25 um. No
    # model of single shots ships for it.
    "40x/0.65": {
        "objective": "40x/0.65",
        "model": "difference-40x",
        "single_model": "single-40x",
        "delta_um": 3.0,
        "downsample": 4,
        "z1_below_um": 8.0,
        "max_distance_um": 12.0,
    },
}
CAMERA_OF: dict[str, dict[str, Any]] = {
    "20x/0.75": {},
    # dastidar2020 4.3.3: 13 Mpx, of which 1792 px in the middle are used. Its rate is not given: 10 frames a second are
    # what such a sensor delivers without compression over USB 3.
    "40x/0.65": {"width_px": 4208, "height_px": 3120, "um_per_px": 0.08625, "frame_period_s": 0.1},
}
