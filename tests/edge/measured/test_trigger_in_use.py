"""When a continuous scan flashes: as measured, unless the user decided it or it was another camera."""

from datetime import datetime, timezone

import msgspec
import pytest

from parfocal.calib.store import Calibration, TriggeredInput
from parfocal.calib.value import Measured
from parfocal.edge.config import Config, config_from_toml
from parfocal.edge.measured.trigger_in_use import TriggerInUse, trigger_of

WHEN = datetime(2026, 11, 27, tzinfo=timezone.utc)
CAMERA = '[camera]\nkind = "aravis"\ndevice = "Basler-1"\ntrigger_line = "Line1"\n'
EXPOSURE_S = 0.008


def measured(value_s: float, uncertainty_s: float) -> Measured:
    return Measured(value_s, uncertainty_s, WHEN, "flashes", "0.1.0", "raw.json")


CALIBRATION = Calibration(
    1,
    7,
    "20x/0.75",
    trigger=TriggeredInput("aravis", "Basler-1", "Line1", EXPOSURE_S),
    trigger_delay_s=measured(0.00048, 0.00002),
    trigger_room_s=measured(0.0079, 0.0001),
)


def used(
    toml: str = "", exposure_s: float = EXPOSURE_S, calibration: Calibration = CALIBRATION
) -> TriggerInUse:
    return trigger_of(calibration, config_from_toml(CAMERA + toml, "the test"), exposure_s)


def test_a_flash_begins_when_all_lines_surely_expose_and_ends_before_the_first_of_them_does() -> None:
    found = used()
    assert found.room_s == pytest.approx(0.00778)
    assert found == TriggerInUse(0.0005, 0.00002, found.room_s, WHEN, exposed_s=found.exposed_s)
    assert str(found) == "0.50 ms after the trigger, as measured on 2026-11-27 (+- 0.02 ms)"


def test_a_longer_exposure_than_in_the_measurement_leaves_more_time_for_a_flash() -> None:
    longer, as_measured = used(exposure_s=0.009), used()
    assert longer.delay_s == as_measured.delay_s
    assert longer.room_s == pytest.approx((as_measured.room_s or 0.0) + 0.001)
    assert used(exposure_s=0.0001).room_s == 0.0


@pytest.mark.parametrize("toml", ["", "[scan]\nflash_delay_s = 0.0006\n", "[scan]\nflash_delay_s = 0.009\n"])
def test_the_last_line_has_exposed_an_exposure_after_it_has_surely_begun(toml: str) -> None:
    assert used(toml).exposed_s == pytest.approx(0.0005 + EXPOSURE_S)
    assert used(toml, exposure_s=0.002).exposed_s == pytest.approx(0.0005 + 0.002)


def test_nothing_measured_leaves_what_is_configured() -> None:
    found = used(calibration=Calibration(1, 7, "20x/0.75"))
    assert found == TriggerInUse(Config().scan.flash_delay_s)
    assert found.exposed_s is None
    assert str(found) == "0.10 ms after the trigger, as configured"


@pytest.mark.parametrize("change", [{"device": "Basler-2"}, {"line": "Line2"}, {"kind": "v4l2"}])
def test_the_delay_of_another_camera_or_input_is_not_used_and_the_command_is_named(
    change: dict[str, str],
) -> None:
    assert CALIBRATION.trigger is not None
    other = msgspec.structs.replace(CALIBRATION.trigger, **change)
    found = used(calibration=msgspec.structs.replace(CALIBRATION, trigger=other))
    assert (found.delay_s, found.measured_at, found.exposed_s) == (Config().scan.flash_delay_s, None, None)
    assert found.remark is not None
    assert found.remark.endswith(
        "and camera Basler-1 of kind aravis at its input Line1 is configured. Run `parfocal calibrate trigger`."
    )


@pytest.mark.parametrize(("delay_s", "is_told"), [(0.0001, True), (0.0006, False), (0.009, True)])
def test_a_delay_that_the_user_decided_is_used_and_told_where_the_camera_does_not_expose(
    delay_s: float, is_told: bool
) -> None:
    found = used(f"[scan]\nflash_delay_s = {delay_s}\n")
    assert (found.delay_s, found.measured_at) == (delay_s, None)
    assert (found.remark is not None) == is_told
    if found.remark:
        assert found.remark == (
            f"scan.flash_delay_s = {delay_s} is configured, but all lines expose from 0.48 until 8.28 ms after a "
            "trigger. Remove that key."
        )


def test_a_window_without_its_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="all or none"):
        msgspec.structs.replace(CALIBRATION, trigger=None)
