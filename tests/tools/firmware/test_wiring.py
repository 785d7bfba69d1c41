"""The drawing of the wiring is that of the firmware's pins."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from parfocal.board.stub.firmware.library import SOURCES
from tools.firmware.wiring import DRAWING, PARTS, board_pin, svg


def pins() -> dict[str, list[int]]:
    return {part.name: [wire.pin for wire in part.wires] for part in PARTS}


def test_the_pins_are_those_of_the_firmware() -> None:
    source = (SOURCES / "rp2040" / "hal.c").read_text()
    single = {name: int(pin) for name, pin in re.findall(r"^#define (\w+_PIN) (\d+)u", source, re.M)}
    base = {
        name: int(pin) for name, pin in re.findall(r"^#define (\w+_PIN)\([^)]*\) \((\d+)u \+", source, re.M)
    }
    drawn = pins()
    for i, axis in enumerate("XYZ"):
        step, direction = base["STEP_PIN"] + 2 * i, base["DIRECTION_PIN"] + 2 * i
        assert drawn[f"driver of {axis}"] == [step, direction, base["ENABLE_PIN"] + i]
        assert drawn[f"switches of {axis}"] == [base["SWITCH_PIN"] + 2 * i, base["SWITCH_PIN"] + 2 * i + 1]
    assert drawn["lamp driver"] == [single["LAMP_PIN"]]
    assert drawn["camera"] == [single["TRIGGER_PIN"]]
    assert drawn["emergency stop"] == [single["ESTOP_PIN"]]
    assert drawn["lens driver"] == [single["LENS_PIN"], single["LENS_SIGN_PIN"]]
    every = [pin for of_part in drawn.values() for pin in of_part]
    assert len(every) == len(set(every)) == 20


def test_a_gpio_is_at_the_pin_of_the_board_that_the_data_sheet_of_the_pico_gives() -> None:
    assert {gpio: board_pin(gpio) for gpio in (0, 2, 6, 10, 13, 14, 18, 21, 22)} == {
        0: 1, 2: 4, 6: 9, 10: 14, 13: 17, 14: 19, 18: 24, 21: 27, 22: 29,
    }  # fmt: skip
    with pytest.raises(ValueError, match="GP26"):
        board_pin(26)


def test_the_drawing_is_up_to_date_and_small() -> None:
    assert DRAWING.read_text() == svg(), "run `python -m tools.firmware.wiring`"
    assert len(svg()) < 10_000
    texts = [text.text for text in ET.fromstring(svg()).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    assert "GP21" in texts
