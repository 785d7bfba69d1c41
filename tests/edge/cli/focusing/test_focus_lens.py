"""`parfocal focus` with a tunable lens: the Z motor finds the slide, the lens focuses it."""

from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.board.stub.optics.tunable_lens import drawn_lens
from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.config import Config
from parfocal.edge.scan.report import RunReport
from parfocal.edge.simscope.bench import stub_of
from tests.edge.cli.typed import SHORT_SWEEP, Run, configured, image
from tests.edge.scope import tissue

NOW = datetime(2026, 11, 27, tzinfo=timezone.utc)
LENS = SHORT_SWEEP + '[lens]\nkind = "optotune"\nfocuses = true\n'
SEED = 3


@pytest.fixture
def lens_run(tmp_path: Path) -> list[object]:
    slide, config = image(tmp_path, tissue(600)), configured(tmp_path, LENS)
    return [
        "focus",
        "--sim",
        "--slide",
        slide,
        "--um-per-px",
        0.345,
        "--fields",
        2,
        "--seed",
        SEED,
        "--config",
        config,
    ]


def test_a_lens_focuses_within_its_depth_of_field_while_the_motor_stands(
    run: Run, lens_run: list[object], tmp_path: Path
) -> None:
    true = drawn_lens(SEED)
    sign = float(np.sign(true.um_per_ma))
    half_ma = sign * true.hysteresis_ma / 2.0
    currents_ma = tuple((sign * np.linspace(-120.0, 120.0, 97)).tolist())
    heights_um = tuple(true.height_um(ma - half_ma) - true.height_um(-half_ma) for ma in currents_ma)
    store = Store(default_folder(), Owner(stub_of(Config(), SEED).unit_serial, "20x/0.75"))
    values = {
        name: Measured(value, 0.1, NOW, "m", "1", "r.json")
        for name, value in (("lens_error_um", 0.03), ("lens_play_um", 2.5))
    }
    store.keep_all({"lens": LensTable("optotune STUB0001", currents_ma, heights_um), **values})
    code, printed, told = run(*lens_run, "--json", tmp_path / "run.json")
    assert (code, told) == (0, "")
    assert "lens: the Z motor looks for the focus first" in printed
    assert "lens: focuses in place of the Z motor" in printed
    report = msgspec.json.decode((tmp_path / "run.json").read_bytes(), type=RunReport)
    assert [field.outcome for field in report.fields] == ["focused", "focused"]
    assert max(abs(field.error_um or 9.0) for field in report.fields) <= 1.0
    # Steps of the lens, not of the motor.
    assert any(abs(field.z_um / 0.3125 - round(field.z_um / 0.3125)) > 0.1 for field in report.fields)
    assert [(play.axis, play.play_um) for play in report.plays][-1] == ("z", 2.6)


def test_without_its_curve_a_lens_is_refused_with_what_makes_it(run: Run, lens_run: list[object]) -> None:
    code, _, told = run(*lens_run)
    assert (code, "Run `parfocal calibrate lens`" in told) == (5, True)
