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
        " or abs(distance_um) > self.reach_um + REACH * probe_um",
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
        "return is_proven and history",
        "return history",
        (*TESTS, "tests/edge/focus/controlled/test_controller.py"),
    ),
    Mutation(
        "two records make a claim",
        CLAIMS,
        "if len(self.verified) < MIN_RECORDS:",
        "if len(self.verified) < 2:",
        CLAIMS_TESTS,
    ),
    Mutation(
        "records of one field count as if they were of many",
        CLAIMS,
        "(fields[:, None] == fields)",
        "np.eye(len(fields))",
        CLAIMS_TESTS,
    ),
    Mutation(
        "a record far away counts as much as a near one",
        CLAIMS,
        "= 1.0, 0.1, 0.45, 1.2",
        "= 1.0, 0.1, 0.45, 1e6",
        CLAIMS_TESTS,
    ),
)
