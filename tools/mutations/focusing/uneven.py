"""Mutations of uneven fields: the judgement, the scan, the map of heights."""

from tools.mutations.mutation import Mutation

FIELD = "edge/focus/uneven/field.py"
FIELD_TESTS = ("tests/edge/focus/uneven/test_field.py",)
EVENNESS = "edge/focus/uneven/evenness.py"
EVENNESS_TESTS = ("tests/edge/focus/uneven/test_evenness.py",)
HEIGHTS = "edge/focus/uneven/height_map.py"
HEIGHTS_TESTS = ("tests/edge/focus/uneven/test_height_map.py",)
CRISPNESS = "edge/focus/uneven/crispness.py"
CRISPNESS_TESTS = ("tests/edge/focus/uneven/test_crispness.py",)

MUTATIONS = (
    Mutation(
        "a large grain of dust makes a tile uneven",
        CRISPNESS,
        "np.clip(smooth, *np.percentile(smooth, CLIPPED_PERCENTILES)).std()",
        "smooth.std()",
        CRISPNESS_TESTS,
    ),
    Mutation(
        "fine detail is expected in proportion to coarse",
        CRISPNESS,
        "COARSE_POWER = 0.85",
        "COARSE_POWER = 1.0",
        CRISPNESS_TESTS,
    ),
    Mutation(
        "fine detail is expected to depend little on coarse",
        CRISPNESS,
        "COARSE_POWER = 0.85",
        "COARSE_POWER = 0.5",
        CRISPNESS_TESTS,
    ),
    Mutation(
        "as many steps may be tried as there are, at no cost",
        EVENNESS,
        "return len(upper) * math.erfc(",
        "return math.erfc(",
        EVENNESS_TESTS,
    ),
    Mutation(
        "a shape flatter than a depth of field makes a field uneven",
        EVENNESS,
        " or np.ptp(fit) <= depth_um",
        "",
        EVENNESS_TESTS,
    ),
    Mutation(
        "an empty patch counts",
        EVENNESS,
        "held = (weights > 0.0) & np.isfinite(z_um)",
        "held = np.isfinite(z_um)",
        EVENNESS_TESTS,
    ),
    Mutation(
        "the height is that above the first of the two shots",
        FIELD,
        "z_um=second.z_um + distance_um",
        "z_um=first.z_um + distance_um",
        FIELD_TESTS,
    ),
    Mutation(
        "the stage stays where the second shot was taken",
        FIELD,
        "        self._shots.approach(z_um)\n        return shape\n",
        "        return shape\n",
        FIELD_TESTS,
    ),
    Mutation(
        "a scan ends where the predictions do",
        FIELD,
        "is_above = cut.is_cut_above.sum() > n_cut",
        "is_above = False",
        FIELD_TESTS,
    ),
    Mutation(
        "of an uneven field the lowest plane is kept",
        HEIGHTS,
        "sum(axis=1).argmax())",
        "sum(axis=1).argmax() * 0)",
        FIELD_TESTS,
    ),
    Mutation(
        "what only predictions say is called uneven",
        FIELD,
        "range_um[1] - range_um[0] > self._depth_um",
        "True",
        FIELD_TESTS,
    ),
    Mutation(
        "a scan leaves the limits",
        FIELD,
        "for z_um in heights_um if low_um <= z_um <= high_um]",
        "for z_um in heights_um]",
        FIELD_TESTS,
    ),
    Mutation(
        "a cell that is sharpest in the last plane has a height",
        HEIGHTS,
        "in range(1, len(planes) - 1):",
        "in range(1, len(planes)):",
        HEIGHTS_TESTS,
    ),
    Mutation(
        "a cell without contrast has a height",
        HEIGHTS,
        "(contrast >= min_contrast) & ",
        "",
        HEIGHTS_TESTS,
    ),
)
