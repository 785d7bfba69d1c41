"""The simulated lens: the camera sees what its current does, whoever drives it."""

import numpy as np
import pytest

from parfocal.board.config import LensConfig
from parfocal.board.stub.optics.tunable_lens import TunableLens, TunableLensConfig, drawn_lens
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.simscope.bench import Sample, at_stub
from parfocal.edge.simscope.lens import simulated_lens

TRUE = TunableLensConfig(hysteresis_ma=4.0, warmth_um=0.0, drift_um_per_min=0.0)


@pytest.mark.parametrize("kind", ["board", "optotune"])
@pytest.mark.parametrize("runs_firmware", [False, True])
def test_the_camera_sees_the_current_until_it_is_off(
    request: pytest.FixtureRequest, kind: str, runs_firmware: bool
) -> None:
    if runs_firmware:
        request.getfixturevalue("firmware")
    bench = VirtualBench(runs_firmware=runs_firmware)
    config = LensConfig(kind="board" if kind == "board" else "optotune")

    def height_um() -> float:
        bench.clock.sleep_s(0.1)
        now_s = bench.clock.now_s()
        return seen.true_um(now_s)[2] - bench.true_um(now_s)[2]

    with bench.open_board() as board:
        with simulated_lens(config, TRUE, bench, board, bench) as (lens, seen):
            assert lens is not None
            at_rest_um = height_um()
            lens(60.0)
            assert height_um() == pytest.approx(TRUE.height_um(58.0), abs=0.02)
            assert seen.lamp_duty(bench.clock.now_s()) == 0.0
        # Off again, from above: by half the loop.
        assert at_rest_um == 0.0
        assert height_um() == pytest.approx(TRUE.height_um(2.0), abs=0.02)


def test_an_emergency_stop_takes_the_current_from_the_lens() -> None:
    bench = VirtualBench()
    with (
        bench.open_board() as board,
        simulated_lens(LensConfig(kind="board"), TRUE, bench, board, bench) as (lens, seen),
    ):
        assert lens is not None
        lens(100.0)
        board.estop()
        bench.clock.sleep_s(0.1)
        now_s = bench.clock.now_s()
        assert seen.true_um(now_s)[2] - bench.true_um(now_s)[2] < 1.0


def test_a_lens_swings_drifts_and_warms_up() -> None:
    true = TunableLensConfig(hysteresis_ma=0.0, warmth_um=1.0, warmth_tau_s=60.0, drift_um_per_min=0.5)
    lens = TunableLens(true, 0.0)
    lens.set_ma(1.0, 120.0)
    swing_um = [lens.um_at(1.0 + ms / 1000.0, 2.0) for ms in range(40)]
    settled_um = true.height_um(120.0)
    assert swing_um[0] == pytest.approx(0.0, abs=0.1)
    assert max(swing_um) > settled_um + 1.0
    assert swing_um[-1] == pytest.approx(settled_um, abs=0.2)
    assert lens.um_at(301.0, 301.0) == pytest.approx(settled_um + 1.0 + 2.5, abs=0.05)
    with pytest.raises(ValueError, match="is unknown"):
        lens.um_at(1.0, 301.0)


def test_a_seed_draws_a_lens_that_only_rises_or_only_falls() -> None:
    assert drawn_lens(3) == drawn_lens(3) != drawn_lens(4)
    for seed in range(40):
        steps = np.diff([drawn_lens(seed).height_um(ma) for ma in np.linspace(-120.0, 120.0, 49)])
        assert np.all(steps > 0.0) or np.all(steps < 0.0)


def test_a_lens_is_simulated_in_virtual_time_only() -> None:
    def render(*_at: float) -> np.ndarray:
        raise AssertionError

    with (
        pytest.raises(ConfigError, match=r"virtual time only: leave out --port, or set lens\.kind to 'none'"),
        at_stub(Sample(render, lambda _x_um, _y_um: 0.0), Config(lens=LensConfig(kind="board"))),
    ):
        pass
