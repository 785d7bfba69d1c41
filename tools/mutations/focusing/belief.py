"""Mutations of what is believed: the head, the patches together, and what the rule makes of a doubt."""

from tools.mutations.mutation import Mutation

HEAD_TESTS = ("tests/engines/model/test_head.py", "tests/engines/test_predictor.py")
BELIEF_TESTS = ("tests/edge/focus/judging/test_belief.py",)
RULE_TESTS = ("tests/edge/focus/judging/test_rule.py",)
LOOP_TESTS = ("tests/edge/focus/test_focuser.py",)

MUTATIONS = (
    Mutation(
        "a head with another digest is used",
        "engines/model/head.py",
        "if digest != contract.head.sha256:",
        "if False:",
        HEAD_TESTS,
    ),
    Mutation(
        "only the first member predicts",
        "engines/model/head.py",
        "            distance_um = _mean(distances_um)\n",
        "            distance_um = distances_um[0]\n",
        HEAD_TESTS,
    ),
    Mutation(
        "members that disagree are not less certain",
        "engines/model/head.py",
        " + apart)",
        ")",
        HEAD_TESTS,
    ),
    Mutation(
        "the condenser is not checked",
        "engines/predictor.py",
        "if not terms.least <= condenser <= terms.most:",
        "if False:",
        HEAD_TESTS,
    ),
    Mutation(
        "the head does not get the condenser of the instrument",
        "engines/predictor.py",
        "    return condenser\n",
        "    return terms.default\n",
        HEAD_TESTS,
    ),
    Mutation(
        "scales of another model are used",
        "engines/model/forms.py",
        "if scales.fp32 != sha256_of(model_path):",
        "if False:",
        ("tests/engines/model/test_forms.py",),
    ),
    Mutation(
        "a wrong patch drags the mean",
        "edge/focus/judging/belief.py",
        "kept = (apart_um <= REJECTED_BEYOND * np.sqrt(variances))",
        "kept = (apart_um <= 1e9)",
        BELIEF_TESTS,
    ),
    Mutation(
        "certainty does not count",
        "edge/focus/judging/belief.py",
        "weight = contrast / variances",
        "weight = contrast",
        BELIEF_TESTS,
    ),
    Mutation(
        "a patch may claim any certainty",
        "edge/focus/judging/belief.py",
        " + (FLOOR_UM * scale) ** 2",
        "",
        BELIEF_TESTS,
    ),
    Mutation(
        "strange patches are believed",
        "edge/focus/judging/belief.py",
        'return "strange" if',
        'return "" if',
        BELIEF_TESTS,
    ),
    Mutation(
        "a strangeness that is no number is familiar",
        "edge/focus/judging/belief.py",
        "familiar = prediction.strangeness <= prediction.strangeness_limit",
        "familiar = ~(prediction.strangeness > prediction.strangeness_limit)",
        BELIEF_TESTS,
    ),
    Mutation(
        "patches that contradict each other are believed",
        "edge/focus/judging/belief.py",
        '("patches" if rejected_share > MAX_REJECTED_SHARE else "")',
        '""',
        BELIEF_TESTS,
    ),
    Mutation(
        "an estimate that is not believed is followed",
        "edge/focus/judging/rule.py",
        "elif estimate.doubt and isinstance(decision, Accept | Again):",
        "elif False:",
        RULE_TESTS,
    ),
    Mutation(
        "doubts have no end",
        "edge/focus/judging/rule.py",
        "if estimate.doubt and doubted:",
        "if False:",
        RULE_TESTS,
    ),
    Mutation(
        "the loop forgets an earlier doubt",
        "edge/focus/two_shot.py",
        "any(attempt.doubt for attempt in work.attempts),",
        "False,",
        LOOP_TESTS,
    ),
    Mutation(
        "a distance is not held against the move",
        "edge/focus/two_shot.py",
        "found = held_against_move(found, second.z_um, work.attempts, reach)",
        "pass",
        LOOP_TESTS,
    ),
    Mutation(
        "a sweep after doubt is about the pivot",
        "edge/focus/field_work.py",
        "best_um if doubted_um is None else doubted_um",
        "pivot_um",
        LOOP_TESTS,
    ),
    Mutation(
        "belief cannot be switched off",
        "edge/focus/judging/estimate.py",
        "if config.belief",
        "if True",
        LOOP_TESTS,
    ),
    Mutation(
        "nobody is told that a calibration is due",
        "edge/scan/report.py",
        "if not_believed < MIN_FAILED_FIELDS",
        "if True",
        ("tests/edge/scan/test_session.py",),
    ),
)
