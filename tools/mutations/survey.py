"""Mutations of the survey, of the overview, and of the reading of reviews."""

from tools.mutations.mutation import Mutation

_STEPS = ("tests/edge/focus/controlled/test_controller.py",)
_LOOP = ("tests/edge/focus/controlled/test_loop.py",)
_SURVEY = ("tests/edge/scan/test_survey.py",)
_OVERVIEW = ("tests/edge/tissue/test_overview.py",)
_REVIEW = ("tests/edge/slide/review/test_review.py",)
_CONTROLLER = "edge/focus/controlled/controller.py"

MUTATIONS = (
    Mutation(
        "every run leaves fields out of focus",
        _CONTROLLER,
        "if bounds.measures and _is_measured(",
        "if _is_measured(",
        _STEPS,
    ),
    Mutation(
        "a height is measured by a blurred picture",
        _CONTROLLER,
        "_is_measured(claim, depth_um) and is_clear:",
        "_is_measured(claim, depth_um):",
        _STEPS,
    ),
    Mutation(
        "a pair measures a height that the single shot denies",
        _CONTROLLER,
        "return is_agreed and abs(away_um)",
        "return abs(away_um)",
        _STEPS,
    ),
    Mutation(
        "a picture out of focus sets how clear one in focus is",
        "edge/focus/controlled/loop.py",
        "return self._remembered_pair(result, start, focus_um)\n",
        "return self._remembered_pair(result, final, focus_um)\n",
        _LOOP,
    ),
    Mutation(
        "a point has the height of the stage",
        "edge/scan/survey.py",
        "z_um=report.z_um + left_um",
        "z_um=report.z_um",
        _SURVEY,
    ),
    Mutation(
        "print on a label is tissue",
        "edge/tissue/mask.py",
        "kept &= np.bincount(islands.ravel(), written.ravel(), n_islands) < MIN_WRITING_SHARE * area",
        "pass",
        _OVERVIEW,
    ),
    Mutation(
        "a mount is tissue",
        "edge/tissue/mask.py",
        "| _mount(of_channels, noise, um_per_px)",
        "",
        _OVERVIEW,
    ),
    Mutation(
        "the thin end of a smear is glass",
        "edge/tissue/mask.py",
        "(blurred > least) | _faint_ends(blurred > least, of_channels)",
        "blurred > least",
        _OVERVIEW,
    ),
    Mutation(
        "a sheet that nobody filled in says that nothing was found",
        "edge/slide/review/sheet.py",
        "if not entered:",
        "if False:",
        _REVIEW,
    ),
    Mutation(
        "a field may be read twice",
        "edge/slide/review/sheet.py",
        "if count > 1]",
        "if count > 2]",
        _REVIEW,
    ),
)
