"""Mutations of the survey, of the overview, and of the reading of reviews."""

from tools.mutations.mutation import Mutation

_STEPS = ("tests/edge/focus/controlled/test_controller.py",)
_LOOP = ("tests/edge/focus/controlled/test_loop.py",)
_SURVEY = ("tests/edge/scan/test_survey.py",)
_OVERVIEW = ("tests/edge/tissue/test_overview.py",)
_REVIEW = ("tests/edge/slide/review/test_review.py",)
_CONTROLLER = "edge/focus/controlled/controller.py"

_SWEPT = ("tests/edge/scan/continuous/test_survey.py",)
_POINTS = ("tests/edge/scan/tiling/test_points.py",)

MUTATIONS = (
    Mutation(
        "a sheet that was filled in is emptied by the same review again",
        "edge/slide/review/draw.py",
        "if not is_own or not (is_part or files[name] in (None, path.read_bytes())):",
        "if not is_own:",
        _REVIEW,
    ),
    Mutation(
        "a review mixes its fields with what is in the folder",
        "edge/slide/review/draw.py",
        "if not is_own or not (is_part or files[name] in (None, path.read_bytes())):",
        "if is_own and not (is_part or files[name] in (None, path.read_bytes())):",
        _REVIEW,
    ),
    Mutation(
        "a review of other columns has the same code",
        "edge/slide/review/draw.py",
        "    about += [column_of(finding) for finding in findings]\n",
        "",
        _REVIEW,
    ),
    Mutation(
        "a review that fails leaves fields behind",
        "edge/whole_file.py",
        "                if_it_fails.callback(_try, path.unlink)\n",
        "                pass\n",
        _REVIEW,
    ),
    Mutation(
        "a scan of a large slide surveys as many points as a small one for its size",
        "edge/scan/tiling/points.py",
        "NEAREST_UM, FARTHEST_UM = 1000.0, 2000.0",
        "NEAREST_UM, FARTHEST_UM = 1000.0, 1000.0",
        _POINTS,
    ),
    Mutation(
        "one row of tiles at the end of the stage is refused",
        "edge/scan/tiling/points.py",
        "return max(low_um - half_um, lowest_um), min(high_um + half_um, highest_um)",
        "return low_um - half_um, high_um + half_um",
        _POINTS,
    ),
    Mutation(
        "two pieces of tissue far apart count as the glass between them",
        "edge/scan/tiling/points.py",
        "len(plan.tiles) * plan.pitch_um[0] * plan.pitch_um[1]",
        "(max(t.x_um for t in plan.tiles) - min(t.x_um for t in plan.tiles)) ** 2",
        _POINTS,
    ),
    Mutation(
        "points far apart are swept, which takes longer than to stop at them",
        "edge/scan/continuous/survey.py",
        "return planned if planned.sweeps.scan_s < ",
        "return planned if 0.0 < ",
        _SWEPT,
    ),
    Mutation(
        "what two shots must settle at rest anyway does not count",
        "edge/scan/continuous/survey.py",
        "(1.0 - SETTLED_AT_REST / n_points) * visits_s",
        "2.0 * visits_s",
        _SWEPT,
    ),
    Mutation(
        "a picture taken in passing tells a height that it cannot be sure of",
        _CONTROLLER,
        'return "single_measured" if _is_measured(claim, depth_um) else None',
        'return "single_measured"',
        _STEPS,
    ),
    Mutation(
        "a point that its sweep does not tell is left out",
        "edge/scan/continuous/survey.py",
        "for tile in nearest_first(tuple(self._left)",
        "for tile in nearest_first(()",
        _SWEPT,
    ),
    Mutation(
        "a height that was measured while Z went down is as certain as any",
        "edge/scan/continuous/survey.py",
        "if caught.is_falling and is_by_single(report):",
        "if False:",
        _SWEPT,
    ),
    Mutation(
        "a survey without stops leaves its steady lamp on in its sweeps",
        "edge/scan/continuous/survey.py",
        "        with self._instrument.lit(duty):\n            n_taught = 0",
        "        self._instrument.board.lamp(duty)\n        if True:\n            n_taught = 0",
        _SWEPT,
    ),
    Mutation(
        "a scan does not learn from what a pair settled in its survey",
        "edge/scan/tiling/job.py",
        "judge.learn_field(done.focus, (done.report.x_um, done.report.y_um))",
        "pass",
        _SWEPT,
    ),
    Mutation(
        "Z goes down to every point of a survey that lies lower",
        "edge/scan/survey.py",
        "return z_um if z_um - expected_um <= STAY_ABOVE * depth_um else",
        "return",
        _SURVEY,
    ),
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
    Mutation(
        "a yellowed mount is tissue",
        "edge/tissue/mount.py",
        "    if hull is None:",
        "    if True:",
        _OVERVIEW,
    ),
    Mutation(
        "an even film of blood is a mount",
        "edge/tissue/mount.py",
        "    if not (red <= green + COLOUR_NOISE and green <= blue + COLOUR_NOISE):",
        "    if False:",
        _OVERVIEW,
    ),
    Mutation(
        "something small and even is a mount",
        "edge/tissue/mount.py",
        "min(sides) * um_per_px < MIN_SIDE_UM or",
        "",
        _OVERVIEW,
    ),
    Mutation(
        "a pale green mark is tissue",
        "edge/tissue/pen.py",
        "return pale.where((is_pen | (is_even & is_long)) & apart)",
        "return pale.where(is_even & is_long & apart)",
        _OVERVIEW,
    ),
    Mutation(
        "a pale stroke is tissue",
        "edge/tissue/pen.py",
        "return pale.where((is_pen | (is_even & is_long)) & apart)",
        "return pale.where(is_pen & apart)",
        _OVERVIEW,
    ),
    Mutation(
        "a pale stroke of the hue of tissue is ink",
        "edge/tissue/pen.py",
        "return pale.where((is_pen | (is_even & is_long)) & apart)",
        "return pale.where(is_pen | (is_even & is_long))",
        _OVERVIEW,
    ),
    Mutation(
        "what a pen drew paler is tissue",
        "edge/tissue/pen.py",
        "return pale.where(_mostly(pale, same))",
        "return np.zeros(same.shape, bool)",
        _OVERVIEW,
    ),
    Mutation(
        "a dense drop of blood is ink",
        "edge/tissue/pen.py",
        "return np.asarray(is_dot & (green > np.maximum(red, blue) - GREEN_MARGIN), bool)",
        "return np.zeros(len(hue), bool)",
        _OVERVIEW,
    ),
    Mutation(
        "writing on a frosted end is tissue",
        "edge/tissue/mask.py",
        "part[:, : _reach_px(seen == island)] = 1",
        "pass",
        _OVERVIEW,
    ),
)
