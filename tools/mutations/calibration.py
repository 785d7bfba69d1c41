"""Mutations of what corrects a model: the levels, the loop, and what is learned while a run goes on."""

from tools.mutations.mutation import Mutation

OPTICS_TESTS = ("tests/calib/models/test_optics.py",)
KEPT_TESTS = ("tests/edge/calibrate/optics/test_optics.py",)
SINGLE_TESTS = ("tests/edge/calibrate/optics/test_single.py",)
HELD_OUT_TESTS = ("tests/edge/calibrate/optics/test_single_held_out.py",)
FAULT_TESTS = ("tests/edge/calibrate/optics/test_faults.py",)
LOOP_TESTS = ("tests/calib/models/test_loop.py",)
LEARNING_TESTS = ("tests/calib/models/test_learning.py",)

TRIGGER_TESTS = ("tests/calib/camera/test_exposure_window.py",)
CAMERA_TESTS = ("tests/edge/calibrate/test_camera.py",)
MASTER_TESTS = ("tests/edge/slide/test_master.py",)

MUTATIONS = (
    Mutation(
        "of a rolling shutter the first line counts",
        "calib/camera/exposure_window.py",
        "float(begins_s.max()), float(ends_s.min() - begins_s.max())",
        "float(begins_s.min()), float(ends_s.min() - begins_s.min())",
        TRIGGER_TESTS,
    ),
    Mutation(
        "a flash that the begin of the exposure cuts counts as a whole one",
        "calib/camera/exposure_window.py",
        "(1.0 - share[rising]) * width_s",
        "0.0",
        TRIGGER_TESTS,
    ),
    Mutation(
        "flashes that saturate are not dimmed",
        "edge/calibrate/trigger.py",
        "if brightest > _BRIGHT:",
        "if False:",
        ("tests/edge/calibrate/test_trigger.py",),
    ),
    Mutation(
        "the light measured with frames of another size is used",
        "edge/measured/calibration.py",
        "return found if is_grid and found.frame_px == (camera.width_px, camera.height_px) else None",
        "return found if is_grid else None",
        CAMERA_TESTS,
    ),
    Mutation(
        "the measured light is not used where a slide is stitched",
        "edge/slide/master.py",
        "gain = None if flat is None else gain_of_grid(flat, scan.frame_px)",
        "gain = None",
        MASTER_TESTS,
    ),
    Mutation(
        "a level is judged on the stacks that it was fitted on",
        "calib/models/levels.py",
        "for k, stack in enumerate(stacks) if k not in out]",
        "for k, stack in enumerate(stacks) if k != -1]",
        OPTICS_TESTS,
    ),
    Mutation(
        "the best level is taken, however little better it is",
        "calib/models/optics.py",
        "is_supported = float(worse_um.mean()) <= max(WORTHWHILE_UM, min(N_ERRORS * error_um, SURELY_UM))",
        "is_supported = one is best",
        OPTICS_TESTS,
    ),
    Mutation(
        "a wrong direction is not refused",
        "calib/models/optics.py",
        "if chosen.wrong_share > MAX_WRONG_SHARE:",
        "if False:",
        OPTICS_TESTS,
    ),
    Mutation(
        "a model that errs too much is not refused",
        "calib/models/optics.py",
        "if chosen.error_um + (chosen.uncertainty_um if limit.is_sure else 0.0) > limit.error_um:",
        "if False:",
        OPTICS_TESTS,
    ),
    Mutation(
        "an absurd gain is not refused",
        "calib/models/optics.py",
        "if not (GAINS[0] <= fitted.gain <= GAINS[1] and",
        "if not (",
        OPTICS_TESTS,
    ),
    Mutation(
        "patches count alike",
        "calib/models/levels.py",
        "np.average(predicted_um, axis=1, weights=self.weights)",
        "np.average(predicted_um, axis=1)",
        OPTICS_TESTS,
    ),
    Mutation(
        "the taught weights are not in the scale of the predictions",
        "calib/models/levels.py",
        "np.full(hidden.shape[1], penalty)) / line.gain",
        "np.full(hidden.shape[1], penalty))",
        OPTICS_TESTS,
    ),
    Mutation(
        "the bias of a taught head is forgotten",
        "engines/predictor.py",
        "return head.with_last(weights, bias_um)",
        "return head.with_last(weights, 0.0)",
        KEPT_TESTS,
    ),
    Mutation(
        "the uncertainty of a model is not scaled to its errors",
        "engines/predictor.py",
        "scale = gain * np.float32(correction.sigma_scale)",
        "scale = gain",
        KEPT_TESTS,
    ),
    Mutation(
        "a taught head drives its members apart",
        "engines/model/head.py",
        "distances_um.var(axis=0)",
        "(distances_um + 0.0 if self.taught is None else distances_um * 1.5).var(axis=0)",
        KEPT_TESTS,
    ),
    Mutation(
        "the uncertainty is not that of held-out stacks",
        "calib/models/levels.py",
        "np.abs(off.error_um) / off.sigma_um",
        "off.sigma_um / off.sigma_um",
        OPTICS_TESTS,
    ),
    Mutation(
        "a level that is much worse is taken because few stacks scatter",
        "calib/models/optics.py",
        "min(N_ERRORS * error_um, SURELY_UM)",
        "N_ERRORS * error_um",
        OPTICS_TESTS,
    ),
    Mutation(
        "few stacks are believed about a single shot",
        "calib/models/optics.py",
        "(chosen.uncertainty_um if limit.is_sure else 0.0)",
        "0.0",
        OPTICS_TESTS,
    ),
    Mutation(
        "a single shot is accepted where held-out stacks contradict it, and refused where they support it",
        "calib/models/optics.py",
        "(chosen.uncertainty_um if limit.is_sure else 0.0) > limit.error_um:",
        "(chosen.uncertainty_um if limit.is_sure else 0.0) < limit.error_um and limit.is_sure:",
        HELD_OUT_TESTS,
    ),
    Mutation(
        "a single-shot model that held-out stacks contradict is accepted",
        "edge/calibrate/optics/one_model.py",
        "            fit.poor,\n        )\n\n    def _seen_at",
        "            None,\n        )\n\n    def _seen_at",
        HELD_OUT_TESTS,
    ),
    Mutation(
        "a stack that drifts is used",
        "calib/models/stack_faults.py",
        "if abs(shift_um) > MAX_SHIFT_UM:",
        "if False:",
        FAULT_TESTS,
    ),
    Mutation(
        "every stack seems to drift",
        "calib/models/stack_faults.py",
        "MAX_SHIFT_UM = 0.3",
        "MAX_SHIFT_UM = 0.001",
        FAULT_TESTS,
    ),
    Mutation(
        "a stack that dust outweighs is used",
        "edge/calibrate/optics/run.py",
        "        check_fixed(curve)\n",
        "",
        FAULT_TESTS,
    ),
    Mutation(
        "a single-shot model that was refused is used",
        "edge/measured/optics_in_use.py",
        "if single is None or self.refused is not None:",
        "if single is None:",
        SINGLE_TESTS,
    ),
    Mutation(
        "a single-shot model is judged like two shots",
        "edge/calibrate/optics/one_model.py",
        "LIMITS[self.which]",
        "TWO_SHOTS",
        SINGLE_TESTS,
    ),
    Mutation(
        "optics of another model are used",
        "edge/measured/optics_in_use.py",
        "if optics.model_sha256 != model_digest(name):",
        "if False:",
        KEPT_TESTS,
    ),
    Mutation(
        "optics of another microscope are imported",
        "edge/calibrate/optics/transfer.py",
        "if owner != store.owner:",
        "if False:",
        KEPT_TESTS,
    ),
    Mutation(
        "a drift of the focus counts as scatter of the loop",
        "calib/models/loop.py",
        "- sharpest_um\n",
        "- planes[0].z_um\n",
        LOOP_TESTS,
    ),
    Mutation(
        "z0 does not exceed the play",
        "calib/models/loop.py",
        "z1_below_um + run_up_um + SPARE_RUN_UP_UM",
        "z1_below_um + SPARE_RUN_UP_UM",
        LOOP_TESTS,
    ),
    Mutation(
        "a sudden change is followed",
        "calib/models/learning.py",
        "    if before.told.startswith(_SUDDEN):\n",
        "    if False:\n",
        LEARNING_TESTS,
    ),
    Mutation(
        "the shape of the model is taken for a gain",
        "calib/models/learning.py",
        "before.gain * seen.gain / float(np.median(first))",
        "before.gain * seen.gain",
        LEARNING_TESTS,
    ),
    Mutation(
        "moves up and down are held against the same first gains",
        "calib/models/learning.py",
        "first = before.first_up if seen.is_up else before.first_down",
        "first = before.first_up or before.first_down",
        LEARNING_TESTS,
    ),
    Mutation(
        "a move down counts as a move up",
        "edge/scan/learner.py",
        "is_up = last.z2_um > before.z2_um",
        "is_up = True",
        ("tests/edge/scan/test_learner.py",),
    ),
    Mutation(
        "what is learned has no bound",
        "calib/models/learning.py",
        "return float(np.clip(now + np.clip(middle - now, -step, step), -most, most))",
        "return float(now + np.clip(middle - now, -step, step))",
        LEARNING_TESTS,
    ),
    Mutation(
        "one field changes the correction at will",
        "calib/models/learning.py",
        "np.clip(middle - now, -step, step)",
        "(middle - now)",
        LEARNING_TESTS,
    ),
    Mutation(
        "shots on one side of the focus tell where it is",
        "calib/models/learning.py",
        "if not (aside_um[near].max() >= LEAST_ASIDE_UM and aside_um[near].min() <= -LEAST_ASIDE_UM):",
        "if False:",
        LEARNING_TESTS,
    ),
)
