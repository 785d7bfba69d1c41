"""A lens in place of the Z motor: heights are exact from below, whatever the hysteresis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from parfocal.board.errors import MoveRefused
from parfocal.board.lens import LensCurve
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.optics.driver4_stub import Driver4Stub
from parfocal.board.stub.optics.tunable_lens import TunableLens, TunableLensConfig
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.tunable.driver4 import LensDriver4
from parfocal.board.tunable.lens_board import LensBoard
from parfocal.board.tunable.lens_motor import LensMount

PARK_UM = 2500.0
STILL = {"warmth_um": 0.0, "drift_um_per_min": 0.0}
UNITS_UM = 0.05  # half a unit of the driver, a step, and what is straight between knots


class Bench:
    """The lens board, and what only the test knows."""

    def __init__(self, board: LensBoard, bench: VirtualBench, membrane: TunableLens) -> None:
        self.board, self.bench, self._membrane = board, bench, membrane

    def true_um(self) -> float:
        """What stage and lens do together."""
        now_s = self.bench.clock.now_s()
        return self.bench.true_um(now_s)[2] + self._membrane.um_at(now_s, now_s)


@contextlib.contextmanager
def lensed(true: TunableLensConfig, play_um: float) -> Iterator[Bench]:
    """A board with this lens, whose curve is known, and with the play that the test gives."""
    stub = StubConfig()
    still = msgspec.structs.replace(stub.z, settle_amplitude_um=0.0)
    bench = VirtualBench(msgspec.structs.replace(stub, z=still))
    membrane = TunableLens(true, bench.clock.now_s())
    driver = LensDriver4(Driver4Stub(bench.clock, membrane.set_ma), bench.clock)
    sign = float(np.sign(true.um_per_ma))
    currents_ma = tuple((sign * np.linspace(-120.0, 120.0, 97)).tolist())
    flank_ma = sign * true.hysteresis_ma / 2.0
    heights_um = [true.height_um(ma - flank_ma) - true.height_um(-flank_ma) for ma in currents_ma]
    with bench.open_board() as under:
        under.home()
        mount = LensMount(PARK_UM, play_um, 0.05)
        yield Bench(
            LensBoard(under, driver, LensCurve(currents_ma, tuple(heights_um)), mount, bench.clock),
            bench,
            membrane,
        )


@pytest.mark.parametrize("um_per_ma", [0.33, -0.33])
def test_an_approach_from_below_is_exact_whatever_the_hysteresis(um_per_ma: float) -> None:
    true = TunableLensConfig(um_per_ma=um_per_ma, hysteresis_ma=15.0, **STILL)
    with lensed(true, play_um=6.0) as scope:
        zero_um = true.height_um(-np.sign(um_per_ma) * true.hysteresis_ma / 2.0)
        for target_um in (2510.0, 2480.0, 2520.0, 2519.0, 2500.0):
            scope.board.z.approach_up(target_um)
            assert scope.board.z.position_um == pytest.approx(target_um)
            assert scope.true_um() - zero_um == pytest.approx(
                target_um, abs=UNITS_UM + 0.16
            )  # half a step of Z
        # Straight down it stands higher by the hysteresis, as the stage does by the play of its gear.
        scope.board.z.move_to(2490.0)
        assert scope.true_um() - zero_um > 2490.0 + 4.0


def test_the_z_motor_goes_to_its_place_first_and_stays_there() -> None:
    with lensed(TunableLensConfig(**STILL), play_um=2.0) as scope:
        scope.board.z.approach_up(2510.0)
        at = [scope.board.status().z.position_um]
        scope.board.z.approach_up(2490.0)
        at.append(scope.board.status().z.position_um)
        assert at == [PARK_UM, PARK_UM]


def test_it_goes_no_farther_than_the_lens_reaches() -> None:
    with lensed(TunableLensConfig(**STILL), play_um=2.0) as scope:
        low_um, high_um = scope.board.z.limits_um
        assert low_um == pytest.approx(2466.0, abs=6.0)
        assert high_um == pytest.approx(2540.0, abs=6.0)
        with pytest.raises(MoveRefused, match="nothing moved"):
            scope.board.z.approach_up(high_um + 0.1)
        with pytest.raises(MoveRefused, match="to approach .* from below"):
            scope.board.z.approach_up(low_um + 0.1)
        scope.board.z.approach_up(high_um)
        scope.board.z.move_to(low_um)


def test_it_is_homed_as_its_motor_is_and_forgets_with_it() -> None:
    with lensed(TunableLensConfig(**STILL), play_um=2.0) as scope:
        z = scope.board.z
        z.approach_up(2510.0)
        known = [z.is_homed]
        scope.board.estop()
        known.append(z.is_homed)
        assert known == [True, False]
        z.read_position()
        assert not z.is_homed
        with pytest.raises(MoveRefused, match="not homed"):
            z.approach_up(2510.0)
        scope.board.clear_faults()
        scope.board.home()
        assert (z.is_homed, round(z.position_um, 6)) == (True, PARK_UM)
        z.approach_up(2510.0)
        with pytest.raises(MoveRefused, match="cannot be homed"):
            z.home()
