"""Mutations of following: filter, moves, alarm."""

from tools.mutations.mutation import Mutation

TRACK = "edge/focus/following/track.py"
TRACK_TESTS = ("tests/edge/focus/following/test_track.py",)
RULE = "edge/focus/following/rule.py"
RULE_TESTS = ("tests/edge/focus/following/test_rule.py",)
FOLLOWER = "edge/focus/following/follower.py"
FOLLOWER_TESTS = ("tests/edge/focus/following/test_follower.py",)

MUTATIONS = (
    Mutation(
        "no prediction is set aside", TRACK, "SET_ASIDE_BEYOND = 3.0", "SET_ASIDE_BEYOND = 1e9", TRACK_TESTS
    ),
    Mutation(
        "one prediction is enough to move",
        TRACK,
        "return self.n_agreeing >= AGREEING and not self.aside",
        "return not self.aside",
        (*TRACK_TESTS, *RULE_TESTS),
    ),
    Mutation(
        "a disagreement does not stop moves",
        TRACK,
        "return self.n_agreeing >= AGREEING and not self.aside",
        "return self.n_agreeing >= AGREEING",
        (*TRACK_TESTS, *RULE_TESTS),
    ),
    Mutation(
        "the stage moves before anything is agreed",
        RULE,
        "    if not track.is_agreed:\n        return None\n",
        "",
        RULE_TESTS,
    ),
    Mutation(
        "a move down is not put off",
        RULE,
        "(PUT_OFF if has_play else NEAR) * depth_um",
        "NEAR * depth_um",
        RULE_TESTS,
    ),
    Mutation(
        "a sinking focus is met, not awaited",
        RULE,
        "+ ahead_um - awaited_um",
        "+ ahead_um",
        RULE_TESTS,
    ),
    Mutation(
        "what is awaited turns a move up into one down",
        RULE,
        "return None if (target_um - z_um) * away_um <= 0.0 else target_um",
        "return target_um",
        RULE_TESTS,
    ),
    Mutation(
        "one sharp picture between unsharp ones does not end the count",
        RULE,
        "self.n_unsharp + 1 if sharpness < UNSHARP_SHARE * best else 0",
        "self.n_unsharp + (sharpness < UNSHARP_SHARE * best)",
        RULE_TESTS,
    ),
    Mutation(
        "the best picture is never forgotten",
        RULE,
        "self.best * (1.0 - FORGOTTEN)",
        "self.best",
        RULE_TESTS,
    ),
    Mutation(
        "an empty picture is followed",
        FOLLOWER,
        "if exposure_fault(shot.pixels) is not None or is_blank(contrasts, self._config):",
        "if False:",
        FOLLOWER_TESTS,
    ),
)
