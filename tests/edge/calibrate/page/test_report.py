"""The report: self-contained, every value on it, every figure well-formed, whatever became of the raw data."""

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from parfocal.calib.lens.table import LensTable
from parfocal.calib.store import Calibration, OpticsModel, Owner, Store, TriggeredInput
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.page.report import Sheet, Verdict, number, report_html
from parfocal.edge.calibrate.page.svg import Series, plot, shaded, ticks
from parfocal.edge.calibrate.page.use import use_of
from parfocal.edge.config import Config, config_from_toml

WHEN = datetime(2026, 11, 26, tzinfo=timezone.utc)
SHEET = Sheet(
    WHEN,
    "0.1.0",
    {"x": (0.0, 74995.0), "z": (0.0, 4995.2)},
    (Verdict("camera", "linear <b>"), Verdict("stage", "refused: a & b", False)),
)

FAST = config_from_toml("[board.x]\nspeed_um_per_s = 10000.0\n", "t")
FLASHING = config_from_toml("[scan]\nflash_delay_s = 0.0005\n", "t")
TRIGGERED = config_from_toml('[camera]\nkind = "aravis"\ntrigger_line = "Line1"\n', "t")
FOCUSING = config_from_toml('[lens]\nkind = "board"\nfocuses = true\n', "t")


def curve(direction: str, middle_um: float) -> dict[str, object]:
    z_um = [middle_um + k for k in range(-5, 6)]
    return {
        "direction": direction,
        "z_um": z_um,
        "sharpness": [100.0 / (1.0 + (z - middle_um) ** 2) for z in z_um],
    }


RAW: dict[str, object] = {
    "optics_error_um": {
        "stacks": [
            {
                "z_um": [2499.0, 2500.0, 2501.0],
                "sharpness": [10.0, 20.0, 11.0],
                "true_um": [1.0, -1.0],
                "shipped_um": [1.4, -1.3],
                "corrected_um": [1.1, -1.0],
            }
        ]
    },
    "focus_repeatability_um": {
        "planes": [{"z_um": 2500.0, "time_s": 0.0}, {"z_um": 2500.2, "time_s": 9.0}],
        "approaches": [{"z_um": 2500.3, "time_s": 4.0, "outcome": "focused"}],
        "judged": [{"distance_um": 3.0, "error_um": 0.1}],
    },
    "lens_error_um": {
        "planes": [{"current_ma": 10.0 * k, "z_um": 2500.0 - 3.0 * k} for k in range(3)],
        "fit": {"currents_ma": [0.0, 20.0], "heights_um": [0.0, 6.0], "residuals_um": [0.1, -0.1, 0.0]},
    },
    "x_speed_um_per_s": {
        "trials": [{"share": 0.5 + 0.3 * k, "lost_um": 0.0, "has_held": k < 2} for k in range(3)]
    },
    "x_accel_um_per_s2": {},
    "z_play_um": {"seen": [curve("up", 2500.0), curve("down", 2480.0)] * 5},
    "x_play_um": {"seen": [{"step_um": s, "shifts_px": [[3.0, 0.1]] * 5} for s in (-9.0, 9.0)]},
    "x_um_per_step": {"chains": {"x": [{"steps": 16, "shifts_px": [[58.0, 0.1], [58.2, 0.0]]}], "y": []}},
    "z_settle_s": {
        "axis": "z",
        "swings": [{"since_s": [0.01, 0.05], "away_um": [0.4, 0.02]}],
        "fit": {"amplitude_um": 0.6, "tau_s": 0.02, "rate_hz": 40.0, "limit_um": 0.1},
    },
    "z_home_um": {"positions_um": [[0.1, 0.0, -0.2], [-0.1, 0.0, 0.2]]},
    "camera_fine_noise": {
        "response": {"offset_level": 2.0, "scale": 240.0, "gamma": 0.8, "saturation_light": 0.9},
        "levels": [{"light": light, "level": 2.0 + 240.0 * light**0.8} for light in (0.1, 0.4, 0.8)],
        "steady_light": [0.5, 0.51, 0.49],
        "flat": [[0.9, 1.0], [0.8, 0.7]],
    },
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path, Owner(4711, "20x/0.75"))
    values = {
        name: Measured(0.9, 0.1, WHEN, "method of <this>", "0.1.0", made.keep_raw(name, raw))
        for name, raw in RAW.items()
    }
    table = LensTable("board", (0.0, 20.0), (0.0, 6.0))
    made.keep_all(
        {**values, "lens": table, "optics": OpticsModel("line", "small", "0" * 64, "f.npz", "0" * 64)}
    )
    return made


def page_of(store: Store) -> str:
    calibration, config = store.load(), Config()

    def used(name: str, one: Measured) -> str:
        return use_of(name, one, calibration, config)

    return report_html(calibration, SHEET, store.path.parent, used)


def test_a_page_holds_every_value_verdict_and_figure_and_nothing_from_elsewhere(store: Store) -> None:
    page = page_of(store)
    for name in RAW:
        assert f"<td>{name}</td>" in page
    assert "<b>camera</b>: linear &lt;b&gt;" in page
    assert "<li class=poor><b>stage</b>: refused: a &amp; b" in page
    assert "<td>4995.2</td>" in page
    assert str(store.load().used) in page
    assert not re.search(r"https?:|<script|<link|<img", page)
    figures = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(figures) == 16
    for figure in figures:
        root = ET.fromstring(figure)  # noqa: S314  # our own
        assert "nan" not in figure
        for point in root.iter("circle"):
            assert 0.0 <= float(point.get("cx", "nan")) <= 380.0
            assert 0.0 <= float(point.get("cy", "nan")) <= 220.0


@pytest.mark.parametrize(
    ("left", "told"), [(None, "are gone"), ("{", "cannot be drawn"), ("[]", "cannot be drawn")]
)
def test_raw_data_that_are_gone_or_damaged_leave_a_note(store: Store, left: str | None, told: str) -> None:
    path = store.raw_path("z_play_um")
    path.unlink() if left is None else path.write_text(left)
    page = page_of(store)
    assert told in page
    assert page.count("<svg") == 15


def test_what_is_done_with_a_value_depends_on_the_configuration() -> None:
    one = Measured(1.30, 0.01, WHEN, "m", "1", "r.json")
    late = msgspec.structs.replace(one, value=0.00029, uncertainty=0.00001)
    found = Calibration(
        1,
        1,
        "20x/0.75",
        camera_gamma=msgspec.structs.replace(one, value=0.5),
        x_play_um=one,
        trigger=TriggeredInput("v4l2", "0", "", 0.008),
        trigger_delay_s=late,
        trigger_room_s=msgspec.structs.replace(late, value=0.008),
    )
    keeping = config_from_toml(
        "[board.x]\nplay_um = 60.0\num_per_step = 1.25\n[camera]\nexposure_s = 0.01\n", "t"
    )
    for name, measured, config, told in (
        ("x_play_um", one, Config(), "used"),
        ("x_play_um", one, keeping, "not used: 60 is configured"),
        ("x_um_per_step", one, Config(), "used"),
        ("x_um_per_step", one, keeping, "not used: 1.25 is configured"),
        (
            "x_um_per_step",
            msgspec.structs.replace(one, value=1.255),
            Config(),
            "1.25 as configured agrees and is used",
        ),
        ("z_settle_s", one, Config(), "used, the upper end"),
        ("z_home_um", one, Config(), "shown only"),
        ("camera_gamma", one, Config(), "undone"),
        ("camera_exposure_s", one, keeping, "not used: 0.008 is configured".replace("0.008", "0.01")),
        ("camera_flicker_share", one, Config(), "shown only"),
        ("x_speed_um_per_s", one, Config(), "used"),
        ("x_accel_um_per_s2", one, FAST, "not used: 75000 is configured"),
        ("focus_z1_below_um", one, Config(), "used"),
        (
            "focus_z1_below_um",
            one,
            config_from_toml("[focus]\nz1_below_um = 6.0\n", "t"),
            "not used: 6 is configured",
        ),
        ("focus_repeatability_um", one, Config(), "shown only"),
        ("lens_play_um", one, Config(), "not used: lens.focuses is false"),
        ("lens_play_um", one, FOCUSING, "used, the upper end"),
        ("lens_error_um", one, FOCUSING, "its curve is used"),
        ("lens_um_per_ma", one, FOCUSING, "shown only"),
        ("lens_settle_s", one, FOCUSING, "used, the upper end"),
        ("focus_above_sharpest_um", one, Config(), "shown only; focus.at_sharpest = true removes it"),
        (
            "trigger_delay_s",
            late,
            Config(),
            f"flashes of continuous scans 0.30 ms after the trigger, as measured on {WHEN:%Y-%m-%d} (+- 0.01 ms)",
        ),
        ("trigger_room_s", late, Config(), "the longest flash"),
        ("trigger_read_out_s", late, Config(), "shown only"),
        ("trigger_delay_s", late, FLASHING, "not used: scan.flash_delay_s = 0.0005 is configured"),
        (
            "trigger_delay_s",
            late,
            TRIGGERED,
            (
                "not used: the delay of the trigger was measured with camera 0 of kind v4l2, and camera 0 of kind "
                "aravis at its input Line1 is configured. Run `parfocal calibrate trigger`."
            ),
        ),
        ("optics_gain", one, Config(), "not used: nothing was measured. Run `parfocal calibrate optics`."),
    ):
        assert use_of(name, measured, found, config) == told, name


def test_plots_have_round_ticks_and_nothing_to_draw_is_said() -> None:
    assert ticks(0.0, 10.0) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert ticks(-0.02, 0.03) == pytest.approx([-0.02, -0.01, 0.0, 0.01, 0.02, 0.03])
    assert "nothing was recorded" in plot("a", "x", "y", [Series(())])
    assert "nothing was recorded" in shaded("a", [])
    assert "<svg" in plot("a", "x", "y", [Series(((1.0, 1.0),))])  # one point, and no range


def test_raw_data_stay_readable_for_people(store: Store) -> None:
    assert json.loads(store.raw_path("z_home_um").read_text()) == RAW["z_home_um"]


@pytest.mark.parametrize(
    ("value", "uncertainty", "told"),
    [(-1.2e-5, 0.019, "0.000"), (19.953, 0.078, "19.953"), (1.25012, 0.38, "1.25"), (28.5, 0.0, "28.5")],
)
def test_values_have_as_many_digits_as_their_uncertainty(value: float, uncertainty: float, told: str) -> None:
    assert number(Measured(value, uncertainty, WHEN, "m", "1", "r.json")) == told
