"""Mutations of a tunable lens, and of the search for the fastest safe speed."""

from tools.mutations.mutation import Mutation

DRIVER_TESTS = ("tests/board/tunable/test_driver4.py",)
BOARD_TESTS = ("tests/board/tunable/test_lens_board.py",)
FIT_TESTS = ("tests/calib/lens/test_curve.py",)
LENS_TESTS = ("tests/edge/calibrate/test_lens.py",)
HEIGHTS_TESTS = ("tests/edge/scan/tiling/test_heights.py",)
RULE_TESTS = ("tests/calib/motion/test_fastest.py",)
FASTEST_TESTS = ("tests/edge/calibrate/motion/test_fastest.py",)

MUTATIONS = (
    Mutation(
        "a current is not read back",
        "board/tunable/driver4.py",
        'if struct.unpack(">h", self._ask(b"Ar\\0\\0", b"A", 3)[1:])[0] == units:',
        "if True:",
        DRIVER_TESTS,
    ),
    Mutation(
        "the checksum of a reply is not looked at",
        "board/tunable/driver4.py",
        "if payload.startswith(begin) and rest == crc16(payload) + END:",
        "if len(rest) == 4:",
        DRIVER_TESTS,
    ),
    Mutation(
        "a driver keeps its mode",
        "board/tunable/driver4.py",
        'self._ask(b"MwDA", b"MDA", 3)',
        "pass",
        DRIVER_TESTS,
    ),
    Mutation(
        "a closed driver keeps its current",
        "board/tunable/driver4.py",
        "            self(0.0)\n        self._transport.close()",
        "            pass\n        self._transport.close()",
        DRIVER_TESTS,
    ),
    Mutation(
        "the hysteresis of a lens is not its play",
        "board/tunable/lens_board.py",
        "play_um=mount.play_um,",
        "play_um=0.0,",
        BOARD_TESTS,
    ),
    Mutation(
        "the Z motor stays where it is",
        "board/tunable/lens_motor.py",
        "at_rest_s = self._under.approach_up(self._park_um)",
        "at_rest_s = 0.0",
        BOARD_TESTS,
    ),
    Mutation(
        "the lens is not waited for",
        "board/tunable/lens_motor.py",
        "        self._clock.sleep_s(self._settle_s)\n",
        "",
        BOARD_TESTS,
    ),
    Mutation(
        "a lens is homed although its motor is not",
        "board/tunable/lens_motor.py",
        "Standstill(pos_steps, self._under.is_homed,",
        "Standstill(pos_steps, True,",
        BOARD_TESTS,
    ),
    Mutation(
        "both flanks of a lens are taken for one",
        "calib/lens/curve.py",
        "lags = np.where(rising == is_upward, 0.0, 1.0)",
        "lags = np.where(rising == is_upward, 0.0, 1e-6)",
        FIT_TESTS,
    ),
    Mutation(
        "the wrong flank of a lens is kept",
        "calib/lens/curve.py",
        "rising == is_upward",
        "rising",
        FIT_TESTS,
    ),
    Mutation(
        "a lens that turns back is kept",
        "calib/lens/curve.py",
        "if len(weak):",
        "if False:",
        FIT_TESTS,
    ),
    Mutation(
        "a lens that does nothing is kept",
        "calib/lens/curve.py",
        "if reach_um < least_um:",
        "if False:",
        FIT_TESTS,
    ),
    Mutation(
        "the curve of another lens is used",
        "edge/lens_focus.py",
        "if table.lens != lens.name:",
        "if False:",
        LENS_TESTS,
    ),
    Mutation(
        "the first sweep leaves the reach of the lens",
        "edge/lens_focus.py",
        "stop_um = min(config.first_sweep_stop_um, high_um - UM_PER_STEP)",
        "stop_um = config.first_sweep_stop_um",
        LENS_TESTS,
    ),
    Mutation(
        "the lens keeps its current after a calibration",
        "edge/calibrate/lens.py",
        "        finally:\n            self._lens(0.0)\n",
        "        finally:\n            pass\n",
        LENS_TESTS,
    ),
    Mutation(
        "the fastest pair has no margin",
        "calib/motion/fastest.py",
        "MARGIN = 0.8",
        "MARGIN = 1.05",
        FASTEST_TESTS,
    ),
    Mutation(
        "a pair above one that failed counts as held",
        "calib/motion/fastest.py",
        "if one.has_held and one.share < failed), default=0.0)",
        "if one.has_held), default=0.0)",
        RULE_TESTS,
    ),
    Mutation(
        "the objective stays at the slide in a trial",
        "edge/calibrate/motion/fastest.py",
        "z.move_to(z.limits_um[0])",
        "z.move_to(z.position_um)",
        FASTEST_TESTS,
    ),
    Mutation(
        "an axis is not homed after a trial",
        "edge/calibrate/motion/fastest.py",
        "            self._home()\n        has_held",
        "            self._lower()\n        has_held",
        FASTEST_TESTS,
    ),
    Mutation(
        "a trial that was broken off leaves a wrong position",
        "edge/calibrate/motion/broken_off.py",
        "    except BaseException:\n",
        "    except ValueError:\n",
        FASTEST_TESTS,
    ),
    Mutation(
        "steps lost on both ways cancel",
        "edge/calibrate/motion/fastest.py",
        "is_last = number == n_trips - 1 > 1",
        "is_last, slow = False, fast",
        FASTEST_TESTS,
    ),
    Mutation(
        "trials go on without room",
        "edge/calibrate/motion/fastest.py",
        "if abs(room_um) < TRIP_UM:",
        "if False:",
        FASTEST_TESTS,
    ),
    Mutation(
        "a configured speed is replaced by the measured one",
        "edge/measured/calibration.py",
        "if name not in config.calibration.keep_rates:\n            _use",
        "if True:\n            _use",
        FASTEST_TESTS,
    ),
    Mutation(
        "the measured settle time of a lens is not waited for",
        "edge/lens_focus.py",
        "settle_s = UNMEASURED_SETTLE_S if settle is None else settle.interval[1]",
        "settle_s = UNMEASURED_SETTLE_S",
        LENS_TESTS,
    ),
    Mutation(
        "what lies beyond the ruler counts as the swing of a lens",
        "edge/calibrate/lens_settling.py",
        "if abs(z_um - rest_um) < RULER_UM * scale]",
        "]",
        LENS_TESTS,
    ),
    Mutation(
        "a scan goes where the lens does not reach",
        "edge/scan/tiling/heights.py",
        "if not low_um <= z_um <= high_um:",
        "if False:",
        HEIGHTS_TESTS,
    ),
)
