"""Settings that go with an objective whose models ship: those of the focus, and the camera that its paper used."""

from typing import Any

# What differs from the defaults, which are those of 20x/0.75.
FOCUS_OF: dict[str, dict[str, Any]] = {
    "20x/0.75": {},
    # dastidar2020 4.2, 4.3: delta, the factor of 4, the height below the pivot, and 12 um of a range of +-25 um.
    "40x/0.65": {
        "objective": "40x/0.65",
        "model": "difference-40x",
        "single_model": "single-40x",
        "delta_um": 3.0,
        "downsample": 4,
        "z1_below_um": 8.0,
        "max_distance_um": 12.0,
        "proof_um": 2.3,
    },
    # liao2021 2.1: +-36 um. What depends on the depth of field is as many of it, 6 um, as through 20x/0.75. The shots
    # of a pair are 10 um apart, the second one 8 um below the pivot; the range of the model asks for that.
    "10x/0.3": {
        "objective": "10x/0.3",
        "model": "spectral-10x",
        "single_model": "single-10x",
        "delta_um": 10.0,
        "z0_below_um": 35.0,
        "z1_below_um": 18.0,
        "max_spread_um": 6.0,
        "in_focus_um": 1.5,
        "proof_um": 12.5,
        "recovery_reach_um": 90.0,
        "recovery_step_um": 12.5,
        "fine_reach_um": 12.5,
        "fine_step_um": 3.75,
        "first_sweep_step_um": 18.75,
    },
}
CAMERA_OF: dict[str, dict[str, Any]] = {
    "20x/0.75": {},
    # dastidar2020 4.3.3: 13 Mpx, of which 1792 px in the middle are used. Its rate is not given: 10 frames a second are
    # what such a sensor delivers without compression over USB 3.
    "40x/0.65": {"width_px": 4208, "height_px": 3120, "um_per_px": 0.08625, "frame_period_s": 0.1},
    # The camera of 20x/0.75: half of the magnification, and 845 x 707 um of the sample.
    "10x/0.3": {"um_per_px": 0.69},
}
