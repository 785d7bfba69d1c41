"""Mutations of what makes distances of the loop depths of field: a constant that stays that of 20x/0.75."""

from tools.mutations.mutation import Mutation

TESTS = ("tests/edge/focus/test_depths_of_field.py",)
JUDGING, CONTROLLED = "edge/focus/judging", "edge/focus/controlled"
READING = "edge/scan/tiling/judging/reading.py"

MUTATIONS = (
    Mutation(
        "estimates agree within 1 um through any objective",
        f"{JUDGING}/rule.py",
        "return AGREEMENT_UM * self.scale",
        "return AGREEMENT_UM",
        TESTS,
    ),
    Mutation(
        "pictures contradict each other from 2 um through any objective",
        f"{JUDGING}/rule.py",
        "apart_um = APART_UM * depth_scale(config.objective)",
        "apart_um = APART_UM",
        TESTS,
    ),
    Mutation(
        "no patch is more certain than 0.1 um through any objective",
        f"{JUDGING}/belief.py",
        "(FLOOR_UM * scale) ** 2",
        "FLOOR_UM**2",
        TESTS,
    ),
    Mutation(
        "a proof looks 2 um aside through any objective",
        f"{JUDGING}/proof.py",
        "final_um + side * probe_um",
        "final_um + side * 2.0",
        TESTS,
    ),
    Mutation(
        "shots 1.8 um aside count for a proof through any objective",
        f"{JUDGING}/proof.py",
        ">= LEAST_AWAY * probe_um",
        ">= 1.8",
        TESTS,
    ),
    Mutation(
        "a proof reaches 3 um through any objective",
        f"{JUDGING}/proof.py",
        "self.reach_um + REACH * probe_um",
        "self.reach_um + 3.0",
        TESTS,
    ),
    Mutation(
        "claims have one offset through any objective",
        f"{CONTROLLED}/claims.py",
        "(OFFSET_UM**2 + WAVE_UM**2) * self.scale**2",
        "(OFFSET_UM**2 + WAVE_UM**2)",
        TESTS,
    ),
    Mutation(
        "the scale is forgotten after a field",
        f"{CONTROLLED}/claims.py",
        "ClaimErrors(verified, self.others, self.scale)",
        "ClaimErrors(verified, self.others)",
        TESTS,
    ),
    Mutation(
        "claims scatter by the square of um",
        f"{CONTROLLED}/claims.py",
        "SCATTER_PER_UM / self.scale * sigma_um**2",
        "SCATTER_PER_UM * sigma_um**2",
        TESTS,
    ),
    Mutation(
        "a curve is searched within 1.5 um through any objective",
        f"{CONTROLLED}/curve.py",
        "REACH_UM * curve.scale",
        "REACH_UM",
        TESTS,
    ),
    Mutation(
        "shots 5 um apart are not compared through any objective",
        f"{CONTROLLED}/curve.py",
        "most_um, least_um = MOST_APART_UM * curve.scale, LEAST_APART_UM * curve.scale",
        "most_um, least_um = MOST_APART_UM, LEAST_APART_UM",
        TESTS,
    ),
    Mutation(
        "a claim is uncertain from 0.3 um through any objective",
        f"{CONTROLLED}/controller.py",
        "AIM_LOW_FROM_UM * bounds.reach.scale",
        "AIM_LOW_FROM_UM",
        TESTS,
    ),
    Mutation(
        "how far down a pair leads depends on um",
        f"{CONTROLLED}/controller.py",
        "found.sigma_um / reach.scale - FAR_DOWN_FROM_UM",
        "found.sigma_um - FAR_DOWN_FROM_UM",
        TESTS,
    ),
    Mutation(
        "single shots a little apart say one thing in um",
        f"{CONTROLLED}/controller.py",
        "LENGTH_UM * bounds.reach.scale",
        "LENGTH_UM",
        TESTS,
    ),
    Mutation(
        "a gain holds up to 1.5 um through any objective",
        READING,
        "abs(from_constant_um) / self._scale - NEAR_UM",
        "abs(from_constant_um) - NEAR_UM",
        TESTS,
    ),
)
