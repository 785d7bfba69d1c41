"""Mutations of the proof of predictions, and of the line that corrects single shots."""

from tools.mutations.mutation import Mutation

PROOF = "edge/focus/judging/proof.py"
TESTS = ("tests/edge/focus/judging/test_proof.py",)
CLAIMS = "edge/focus/controlled/claims.py"
CLAIMS_TESTS = ("tests/edge/focus/controlled/test_claims.py",)

MUTATIONS = (
    Mutation("nothing needs a proof", PROOF, "return not self.is_given or", "return False and", TESTS),
    Mutation(
        "a far distance needs no proof of its own",
        PROOF,
        " or abs(distance_um) > self.reach_um + REACH_UM",
        "",
        TESTS,
    ),
    Mutation(
        "a proof looks at one side only", PROOF, "for side in (1.0, -1.0):", "for side in (1.0,):", TESTS
    ),
    Mutation(
        "a disproved run is trusted as soon as any other",
        PROOF,
        "FIELDS * (1 + self.failed)",
        "FIELDS",
        TESTS,
    ),
    Mutation(
        "a field that is only just in focus counts as a proof",
        PROOF,
        "        if share > PROVES:\n            return self\n",
        "",
        TESTS,
    ),
    Mutation(
        "a disproved end is kept",
        "edge/focus/field_work.py",
        "return aside.z_um if share >= DISPROVES else None",
        "return None",
        TESTS,
    ),
    Mutation(
        "a short sweep ends where it still rises",
        "edge/focus/field_work.py",
        "for _ in range(MAX_CLIMBS):",
        "for _ in range(0):",
        TESTS,
    ),
    Mutation(
        "an unproven run is settled by single shots",
        "edge/focus/controlled/controller.py",
        "if claim is not None and is_proven and not",
        "if claim is not None and not",
        (*TESTS, "tests/edge/focus/controlled/test_controller.py"),
    ),
    Mutation(
        "two records make a line",
        CLAIMS,
        "if float(weights.sum()) < MIN_RECORDS:",
        "if float(weights.sum()) < 2.0:",
        CLAIMS_TESTS,
    ),
    Mutation(
        "the uncertainty of the line is left out",
        CLAIMS,
        "math.sqrt(variance + line.variance_at(claimed_um))",
        "math.sqrt(variance)",
        CLAIMS_TESTS,
    ),
    Mutation(
        "a record far away counts as much as a near one",
        CLAIMS,
        "NEAR_UM, NEAR_SHARE = 1.5, 0.5",
        "NEAR_UM, NEAR_SHARE = 1e6, 0.5",
        CLAIMS_TESTS,
    ),
)
