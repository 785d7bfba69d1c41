"""GPIO lines on a strict fake, which refuses what the real library refuses."""

from __future__ import annotations

import sys

import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.gpio import GpioConfig, GpioFailed, Lines
from tests.board.strict_gpio import StrictGpio

PINS = GpioConfig(estop_pin=11, reset_pin=13, trigger_pin=15)


def test_nothing_is_imported_or_driven_unless_pins_are_configured() -> None:
    assert GpioConfig() == GpioConfig(None, None, None)
    assert "RPi" not in sys.modules
    assert "RPi.GPIO" not in sys.modules


def test_the_estop_reads_pressed_while_its_wire_is_high() -> None:
    gpio = StrictGpio()
    with Lines(PINS, VirtualClock(), gpio) as lines:
        assert not lines.estop_pressed()
        gpio.outside[11] = StrictGpio.HIGH
        assert lines.estop_pressed()
    assert gpio.directions == {}


def test_reset_and_trigger_are_pulses_of_the_requested_width() -> None:
    gpio, clock = StrictGpio(), VirtualClock()
    with Lines(PINS, clock, gpio) as lines:
        assert gpio.log == [(13, 1), (15, 0)]
        gpio.log.clear()
        before_s = clock.now_s()
        lines.reset_board()
        assert clock.now_s() - before_s == pytest.approx(0.02)
        began_s = lines.trigger(0.005)
        assert clock.now_s() - began_s == pytest.approx(0.005)
        assert gpio.log == [(13, 0), (13, 1), (15, 1), (15, 0)]
        with pytest.raises(ValueError, match="at most 1 s"):
            lines.trigger(2.0)


def test_a_loop_back_over_a_wire_passes_and_releases_the_pins() -> None:
    gpio = StrictGpio(wires={18: 16})
    with Lines(PINS, VirtualClock(), gpio) as lines:
        lines.loop_back_test(16, 18)
        assert set(gpio.directions) == {11, 13, 15}
        lines.loop_back_test(16, 18)


@pytest.mark.parametrize(
    ("wires", "pinmux"),
    [({}, StrictGpio.HEADER), ({18: 16}, StrictGpio.HEADER - {16}), ({18: 16}, StrictGpio.HEADER - {18})],
    ids=["no_wire", "output_not_in_the_pinmux", "input_not_in_the_pinmux"],
)
def test_a_loop_back_that_does_not_arrive_names_pinmux_and_wire(
    wires: dict[int, int], pinmux: frozenset[int]
) -> None:
    gpio = StrictGpio(wires, pinmux)
    with (
        Lines(PINS, VirtualClock(), gpio) as lines,
        pytest.raises(GpioFailed, match=r"4 of 8 levels did not arrive. Check the wire; .* pinmux"),
    ):
        lines.loop_back_test(16, 18)
    assert gpio.directions == {}


def test_a_loop_back_on_a_pin_in_use_is_refused_before_anything_is_driven() -> None:
    gpio = StrictGpio()
    with Lines(PINS, VirtualClock(), gpio) as lines:
        before = list(gpio.log)
        with pytest.raises(ValueError, match="two free pins"):
            lines.loop_back_test(13, 16)
        assert gpio.log == before


def test_a_pin_that_the_library_refuses_is_one_line_of_what_to_do() -> None:
    gpio = StrictGpio()
    with pytest.raises(GpioFailed, match=r"Channel 39 is invalid. Check pins and permissions"):
        Lines(GpioConfig(estop_pin=11, trigger_pin=39), VirtualClock(), gpio)
    assert gpio.directions == {}


def test_another_numbering_in_the_same_program_is_refused() -> None:
    gpio = StrictGpio()
    gpio.setmode(StrictGpio.BCM)
    with pytest.raises(GpioFailed, match="already uses another numbering of pins"):
        Lines(PINS, VirtualClock(), gpio)


def test_a_line_that_is_not_fitted_names_its_key() -> None:
    with (
        Lines(GpioConfig(trigger_pin=15), VirtualClock(), StrictGpio()) as lines,
        pytest.raises(ValueError, match="Set estop_pin"),
    ):
        lines.estop_pressed()


@pytest.mark.parametrize("pins", [(11, 11), (0, 11), (11, 41)])
def test_invalid_pins_are_refused(pins: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="each once"):
        GpioConfig(estop_pin=pins[0], reset_pin=pins[1])


def test_a_missing_library_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("parfocal.board.gpio.importlib.import_module", missing)
    with pytest.raises(GpioFailed, match=r"Install parfocal\[jetson\] or parfocal\[rpi\]"):
        Lines(PINS, VirtualClock())
