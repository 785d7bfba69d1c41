"""Mutations of the controller, its history, the first plane, and what is told from pictures."""

from tools.mutations.mutation import Mutation

STEPS = ("tests/edge/focus/controlled/test_controller.py",)
CLAIMS = ("tests/edge/focus/controlled/test_claims.py",)
CURVE = ("tests/edge/focus/controlled/test_curve.py",)
HISTORY = ("tests/edge/focus/controlled/test_history.py",)
LOOP = ("tests/edge/focus/controlled/test_loop.py",)
SEARCH = ("tests/edge/focus/test_search.py",)
FAULTS = ("tests/edge/focus/test_faults.py",)
CONTROLLER = "edge/focus/controlled/controller.py"

MUTATIONS = (
    Mutation(
        "a blurred picture is taken for one in focus",
        CONTROLLER,
        "if _is_in_focus(claim, depth_um) and is_clear:",
        "if _is_in_focus(claim, depth_um):",
        STEPS,
    ),
    Mutation("an uncertain claim settles a field", CONTROLLER, "+ 2.0 * claim.sigma_um <=", "<=", STEPS),
    Mutation(
        "no field is verified by a pair any more",
        CONTROLLER,
        " and not history.is_verification_due",
        "",
        STEPS,
    ),
    Mutation(
        "a move by a single shot need not be sharper",
        CONTROLLER,
        " or rule.contradicts(final.seen, (start.seen,), config)",
        "",
        STEPS,
    ),
    Mutation(
        "single shots that disagree end a field",
        CONTROLLER,
        "if agrees and _is_in_focus(best, depth_um):",
        "if _is_in_focus(best, depth_um):",
        STEPS,
    ),
    Mutation(
        "single shots are used from the first field on",
        CONTROLLER,
        "is_proven and history.is_established and",
        "is_proven and",
        STEPS,
    ),
    Mutation(
        "sharpness that contradicts single shots is not asked",
        CONTROLLER,
        "    if sharp is not None:\n",
        "    if False:\n",
        STEPS,
    ),
    Mutation(
        "two single shots from one height are taken for two opinions",
        CONTROLLER,
        "best.sigma_um * math.sqrt(1.0 + alike)",
        "best.sigma_um",
        STEPS,
    ),
    Mutation(
        "a far single shot is taken for one that is certain",
        CONTROLLER,
        "far = Claim(distance_um, FAR_SHARE * abs(distance_um))",
        "far = Claim(distance_um, 0.3)",
        STEPS,
    ),
    Mutation(
        "sharpness in the tail of the curve counts",
        "edge/focus/controlled/curve.py",
        "LEAST_APART_UM, MOST_APART_UM = 0.4, 5.0",
        "LEAST_APART_UM, MOST_APART_UM = 0.4, 50.0",
        CURVE,
    ),
    Mutation(
        "one field establishes single shots on any microscope",
        "edge/focus/controlled/history.py",
        "MIN_CALIBRATED_FIELDS if is_calibrated else MIN_FIELDS",
        "MIN_CALIBRATED_FIELDS",
        HISTORY,
    ),
    Mutation(
        "a field without a pair counts as verified on any microscope",
        "edge/focus/controlled/history.py",
        "is_by_sharpness and self.curve is not None and self.curve.is_calibrated",
        "is_by_sharpness",
        HISTORY,
    ),
    Mutation(
        "fields without a pair tell an offset that nobody has measured",
        "edge/focus/controlled/claims.py",
        "UNKNOWN_UM = 0.25, 0.1, 10.0",
        "UNKNOWN_UM = 0.25, 0.1, 0.2",
        CLAIMS,
    ),
    Mutation(
        "the error that fields have in common by their curve is left out",
        "edge/focus/controlled/claims.py",
        "common += np.outer(shared_um, shared_um) + ",
        "common += ",
        CLAIMS,
    ),
    Mutation(
        "a claim by sharpness leaves out how well the peak is known",
        "edge/focus/controlled/curve.py",
        "math.sqrt(variance + curve.above_sigma_um**2)",
        "math.sqrt(variance)",
        CURVE,
    ),
    Mutation(
        "one field on no curve turns what is known",
        "edge/focus/controlled/curve.py",
        "np.minimum(0.5 * (squares - squares.min()), MOST_UNLIKELY)",
        "(0.5 * (squares - squares.min()))",
        CURVE,
    ),
    Mutation("a far focus below is gone to at once", CONTROLLER, "if agrees or is_near:", "if True:", STEPS),
    Mutation(
        "a far focus below is gone to by halves",
        CONTROLLER,
        "return min(1.0 + beyond, MAX_FAR_DOWN) * found.distance_um",
        "return 0.5 * found.distance_um",
        STEPS,
    ),
    Mutation(
        "a pair that ends a little too high goes down once more",
        CONTROLLER,
        "if is_settled and _is_in_focus",
        "if False and _is_in_focus",
        STEPS,
    ),
    Mutation(
        "a faint field is blank, whatever is out of focus in it",
        "edge/focus/search.py",
        "if not leaves_trace(work, start):",
        "if True:",
        SEARCH,
    ),
    Mutation(
        "a search that ends too far away calls the field blank",
        "edge/focus/search.py",
        "if min(traces) < strongest_um < max(traces):",
        "if True:",
        SEARCH,
    ),
    Mutation(
        "dust on the camera is searched for again",
        "edge/focus/search.py",
        "STATIC * work.static_trace",
        "0.0",
        SEARCH,
    ),
    Mutation(
        "noise is taken for a specimen out of focus",
        "edge/focus/picture/part.py",
        "is_blurred = self.trace >",
        "is_blurred = 1.0 >",
        SEARCH,
    ),
    Mutation(
        "patches of a single shot are cut from a smaller picture",
        "edge/focus/picture/prepare.py",
        "around = max(top - 1, 0), max(left - 1, 0)",
        "around = top, left",
        ("tests/edge/focus/picture/test_prepare.py",),
    ),
    Mutation(
        "a white picture is looked at by its mean alone",
        "edge/focus/picture/exposure.py",
        "if saturated > MAX_SATURATED_SHARE:",
        "if True:",
        ("tests/edge/focus/picture/test_exposure.py", *FAULTS),
    ),
    Mutation(
        "smear is told from one direction",
        "edge/focus/picture/camera_truth.py",
        "(grey[1:], grey[:-1])",
        "(grey[1:], grey[1:])",
        FAULTS,
    ),
    Mutation("a field has no end", CONTROLLER, "return stalled < 2", "return True", STEPS),
    Mutation(
        "a last shot that is contradicted is kept",
        CONTROLLER,
        "if not (is_blurred or",
        "if True or (",
        (*STEPS, *LOOP),
    ),
    Mutation(
        "errors of earlier claims are not taken from a claim",
        "edge/focus/controlled/claims.py",
        "Claim(claimed_um + error_um,",
        "Claim(claimed_um,",
        ("tests/edge/focus/controlled/test_claims.py",),
    ),
    Mutation(
        "a doubted single shot claims", "edge/focus/controlled/history.py", "single.doubt or ", "", HISTORY
    ),
    Mutation(
        "a field in focus is left and found again",
        "edge/focus/controlled/loop.py",
        "arrival, self.history, self._bounds, work.config, work.proof.is_given",
        "arrival, self.history, self._bounds, work.config, False",
        LOOP,
    ),
    Mutation(
        "the shot on arrival is taken again for a pair",
        "edge/focus/field_work.py",
        "first = last if last is not None and stands_there else self.lit_shot(z1_um)",
        "first = self.lit_shot(z1_um)",
        LOOP,
    ),
    Mutation(
        "an empty field is looked at to the end",
        "edge/focus/first_plane.py",
        "heights_um[1::ROUND] or heights_um, heights_um",
        "heights_um, heights_um",
        ("tests/edge/focus/test_first_plane.py",),
    ),
    Mutation(
        "a frozen picture goes unnoticed",
        "edge/focus/picture/camera_truth.py",
        "return before is now or (",
        "return False and (",
        FAULTS,
    ),
    Mutation(
        "flicker goes unnoticed",
        "edge/focus/picture/camera_truth.py",
        "if abs(change) > MAX_LIGHT_CHANGE:",
        "if False:",
        FAULTS,
    ),
    Mutation(
        "motion goes unnoticed",
        "edge/focus/picture/camera_truth.py",
        "if abs(smear) > MAX_SMEAR:",
        "if False:",
        FAULTS,
    ),
    Mutation(
        "a stage that is lowered forgets the play",
        "edge/focus/shots.py",
        "z_um - self._axis.overshoot_um, self._axis.limits_um[0]",
        "z_um, self._axis.limits_um[0]",
        FAULTS,
    ),
    Mutation(
        "a camera that fails leaves the stage where it was",
        "edge/focus/focuser.py",
        "            work.retreat()\n",
        "",
        FAULTS,
    ),
)
