"""GPIO lines beside USB: e-stop sense, board reset, camera trigger. None is used unless its pin is configured.

The library interface is RPi.GPIO, which Jetson.GPIO offers under the same name. Install one of the extras
`parfocal[jetson]` or `parfocal[rpi]`, never both. Only what both support is used: numbering by the pins of the
header, no pull resistors (Jetson.GPIO ignores them; fit real ones), levels that are read rather than edges.

The pinmux trap: if a pin of a Jetson is not set to GPIO in the pinmux (JetPack 6 does not do it by itself),
every call succeeds and the pin never changes. `Lines.loop_back_test` detects that with one wire.
"""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Protocol

import msgspec

from parfocal.board.clock import Clock
from parfocal.board.errors import BoardError

_RESET_S = 0.02  # a reset input is filtered by a few ms at most
_LEVEL_S = 0.001  # for a level to travel along a wire and through an optocoupler
_LOOP_BACKS = 8


class GpioFailed(BoardError):
    """A GPIO line is missing or does not work. Check extra, pins, pinmux and wiring."""


class GpioConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pins by their number on the 40-pin header. None means that the line is not fitted.

    `estop_pin` reads high while the emergency stop is pressed or its wire is broken (a closed loop to ground
    pulls it low). `reset_pin` resets the board while low. `trigger_pin` triggers the camera while high.
    """

    estop_pin: int | None = None
    reset_pin: int | None = None
    trigger_pin: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid pin, or one used twice."""
        pins = [pin for pin in (self.estop_pin, self.reset_pin, self.trigger_pin) if pin is not None]
        if len(set(pins)) != len(pins) or not all(1 <= pin <= 40 for pin in pins):
            raise ValueError(f"GPIO pins {pins} are invalid: they must be 1..40, each once")


class GpioLibrary(Protocol):
    """The part of RPi.GPIO that is used."""

    BOARD: int
    IN: int
    OUT: int
    HIGH: int
    LOW: int

    def setmode(self, mode: int) -> None:
        """Choose how pins are numbered. Raises ValueError when another numbering was chosen before."""
        ...

    def getmode(self) -> int | None:
        """How pins are numbered; None when nobody has chosen."""
        ...

    def setup(self, channel: int, direction: int, *, initial: int = ...) -> None:
        """Make a pin an input or an output. Raises ValueError, RuntimeError."""
        ...

    def input(self, channel: int) -> int:
        """Level of a pin. Raises RuntimeError before `setup`."""
        ...

    def output(self, channel: int, value: int) -> None:
        """Set the level of an output. Raises RuntimeError for a pin that is not an output."""
        ...

    def cleanup(self, channel: list[int]) -> None:
        """Release pins."""
        ...


class Lines:
    """The configured lines, set up. A context manager that releases the pins."""

    def __init__(self, config: GpioConfig, clock: Clock, library: GpioLibrary | None = None) -> None:
        """`library`: None for RPi.GPIO. Raises GpioFailed."""
        self._config = config
        self._clock = clock
        self._gpio = imported_library() if library is None else library
        outputs = ((config.reset_pin, self._gpio.HIGH), (config.trigger_pin, self._gpio.LOW))
        self._pins: list[int] = []
        try:
            if self._gpio.getmode() not in (None, self._gpio.BOARD):
                raise GpioFailed(
                    "GPIO lines not set up: this program already uses another numbering of pins. Use GPIO.BOARD."
                )
            self._gpio.setmode(self._gpio.BOARD)
            if config.estop_pin is not None:
                self._gpio.setup(config.estop_pin, self._gpio.IN)
                self._pins.append(config.estop_pin)
            for pin, level in outputs:
                if pin is not None:
                    self._gpio.setup(pin, self._gpio.OUT, initial=level)
                    self._pins.append(pin)
        except (RuntimeError, ValueError, OSError) as error:
            self.close()
            raise GpioFailed(
                f"GPIO lines not set up: {error}. Check pins and permissions (group gpio)."
            ) from error

    def estop_pressed(self) -> bool:
        """Whether the emergency stop is pressed or its wire broken. Raises GpioFailed, ValueError if not fitted."""
        pin = _fitted("estop_pin", self._config.estop_pin)
        try:
            return self._gpio.input(pin) == self._gpio.HIGH
        except (RuntimeError, ValueError, OSError) as error:
            raise GpioFailed(f"e-stop line at pin {pin} not read: {error}. Check the pin.") from error

    def reset_board(self) -> None:
        """Reset the board; it restarts with a new boot_id. Raises ValueError when the line is not fitted."""
        pin = _fitted("reset_pin", self._config.reset_pin)
        self._gpio.output(pin, self._gpio.LOW)
        try:
            self._clock.sleep_s(_RESET_S)
        finally:
            self._gpio.output(pin, self._gpio.HIGH)

    def trigger(self, width_s: float) -> float:
        """Trigger the camera for `width_s`; return the time it began, s.

        The time is accurate to about a millisecond. Where that is not enough, let the board trigger (`strobe`).
        Raises ValueError when the line is not fitted or `width_s` is out of range.
        """
        pin = _fitted("trigger_pin", self._config.trigger_pin)
        if not 0.0 < width_s <= 1.0:
            raise ValueError(f"trigger of {width_s} s is invalid: it must be at most 1 s")
        began_s = self._clock.now_s()
        self._gpio.output(pin, self._gpio.HIGH)
        try:
            self._clock.sleep_s(width_s)
        finally:
            self._gpio.output(pin, self._gpio.LOW)
        return began_s

    def loop_back_test(self, from_pin: int, to_pin: int) -> None:
        """Toggle `from_pin` and read it back at `to_pin`. A wire joins the two; nothing else is connected to them.

        Raises GpioFailed when a level does not arrive, ValueError for a pin that a line uses.
        """
        if from_pin == to_pin or {from_pin, to_pin} & set(self._pins):
            raise ValueError(f"loop-back from pin {from_pin} to {to_pin} refused: they must be two free pins")
        gpio, seen = self._gpio, []
        try:
            gpio.setup(to_pin, gpio.IN)
            gpio.setup(from_pin, gpio.OUT, initial=gpio.LOW)
            for i in range(_LOOP_BACKS):
                level = gpio.HIGH if i % 2 else gpio.LOW
                gpio.output(from_pin, level)
                self._clock.sleep_s(_LEVEL_S)
                seen.append(gpio.input(to_pin) == level)
        except (RuntimeError, ValueError, OSError) as error:
            raise GpioFailed(
                f"loop-back from pin {from_pin} to {to_pin} failed: {error}. Check the pins."
            ) from error
        finally:
            gpio.cleanup([from_pin, to_pin])
        if not all(seen):
            raise GpioFailed(
                f"loop-back from pin {from_pin} to {to_pin}: {seen.count(False)} of {len(seen)} levels did not "
                "arrive. Check the wire; on a Jetson set both pins to GPIO in the pinmux (jetson-io, or a "
                "device-tree overlay on JetPack 6) and try again."
            )

    def close(self) -> None:
        """Release the pins. They become inputs again, so the board runs. Idempotent."""
        pins, self._pins = self._pins, []
        if pins:
            self._gpio.cleanup(pins)

    def __enter__(self) -> Lines:  # noqa: PYI034  # Self needs Python 3.11
        """The lines, set up."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def imported_library() -> GpioLibrary:
    """Import RPi.GPIO, or Jetson.GPIO under that name. No pin is touched. Raises GpioFailed."""
    try:
        library: GpioLibrary = importlib.import_module("RPi.GPIO")
    # Both libraries look for their hardware on import, and raise RuntimeError or others without it.
    except (ImportError, RuntimeError, OSError) as error:
        raise GpioFailed(
            f"GPIO lines are configured, but RPi.GPIO is not usable: {error}. Install parfocal[jetson] or "
            "parfocal[rpi] on that hardware, or remove the pins from the configuration."
        ) from error
    return library


def _fitted(name: str, pin: int | None) -> int:
    if pin is None:
        raise ValueError(f"GPIO line {name} is not fitted. Set {name} in the configuration.")
    return pin
