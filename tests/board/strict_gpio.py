"""A fake RPi.GPIO with wires. It refuses what the real ones refuse (Jetson.GPIO 2.1, RPi.GPIO 0.7)."""

from __future__ import annotations


class StrictGpio:
    BOARD, BCM = 10, 11
    OUT, IN = 0, 1
    LOW, HIGH = 0, 1
    HEADER = frozenset(
        (7, 11, 12, 13, 15, 16, 18, 19, 21, 22, 23, 24, 26, 29, 31, 32, 33, 35, 36, 37, 38, 40)
    )

    def __init__(self, wires: dict[int, int] | None = None, pinmux: frozenset[int] = HEADER) -> None:
        """`wires`: input pin to the output pin it is wired to. `pinmux`: pins that are really set to GPIO."""
        self.wires = wires or {}
        self.pinmux = pinmux
        self.mode: int | None = None
        self.directions: dict[int, int] = {}
        self.outside: dict[int, int] = {}
        self.driven: dict[int, int] = {}
        self.log: list[tuple[int, int]] = []

    def setmode(self, mode: int) -> None:
        if self.mode is not None and mode != self.mode:
            raise ValueError("A different mode has already been set!")
        if mode not in (self.BOARD, self.BCM):
            raise ValueError("An invalid mode was passed to setmode()")
        self.mode = mode

    def getmode(self) -> int | None:
        return self.mode

    def setup(self, channel: int, direction: int, *, initial: int | None = None) -> None:
        self._check(channel)
        if direction not in (self.IN, self.OUT):
            raise ValueError("An invalid direction was passed to setup()")
        if direction == self.IN and initial is not None:
            raise ValueError("initial parameter is not valid for inputs")
        if channel in self.directions:
            raise RuntimeWarning(f"channel {channel} is already in use")  # an error under -W error
        self.directions[channel] = direction
        if initial is not None:
            self.output(channel, initial)

    def input(self, channel: int) -> int:
        self._check(channel)
        if channel not in self.directions:
            raise RuntimeError("You must setup() the GPIO channel first")
        if channel not in self.pinmux:
            return self.LOW
        if channel in self.wires:
            return self.driven.get(self.wires[channel], self.LOW)
        return self.outside.get(channel, self.LOW)

    def output(self, channel: int, value: int) -> None:
        self._check(channel)
        if self.directions.get(channel) != self.OUT:
            raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
        if value not in (self.LOW, self.HIGH):
            raise ValueError("value must be HIGH or LOW")
        if channel in self.pinmux:
            self.driven[channel] = value
            self.log.append((channel, value))

    def cleanup(self, channel: list[int]) -> None:
        for pin in channel:
            self._check(pin)
            self.directions.pop(pin, None)
            self.driven.pop(pin, None)

    def _check(self, channel: int) -> None:
        if self.mode is None:
            raise RuntimeError("Please set pin numbering mode using GPIO.setmode(GPIO.BOARD)")
        if isinstance(channel, bool) or channel not in self.HEADER:
            raise ValueError(f"Channel {channel} is invalid")
