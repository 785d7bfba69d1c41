"""Draw how a Raspberry Pi Pico is wired, docs/images/wiring.svg: `python -m tools.firmware.wiring`.

The pins are those of board/firmware/rp2040/hal.c; a test compares them, and the drawing with what this draws.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

DRAWING = Path(__file__).parents[2] / "docs" / "images" / "wiring.svg"


class Wire(NamedTuple):
    """One pin of the Pico and where it goes."""

    pin: int
    to: str


class Part(NamedTuple):
    """A part, its wires, and what else it needs."""

    name: str
    wires: tuple[Wire, ...]
    note: str


_DRIVER_NOTE = "VMOT, GND, 3.3 V; 10 kOhm from EN to 3.3 V; MS pins: 1/16"
_SWITCH_NOTE = "contacts that open, to GND; no upper one: its pin to GND"
PARTS = (
    Part("driver of X", (Wire(2, "STEP"), Wire(3, "DIR"), Wire(8, "EN, low: on")), _DRIVER_NOTE),
    Part("driver of Y", (Wire(4, "STEP"), Wire(5, "DIR"), Wire(9, "EN, low: on")), _DRIVER_NOTE),
    Part("driver of Z", (Wire(6, "STEP"), Wire(7, "DIR"), Wire(10, "EN, low: on")), _DRIVER_NOTE),
    Part("lamp driver", (Wire(11, "PWM, 12.5 kHz"),), "LED supply, GND; 10 kOhm from PWM to GND"),
    Part("camera", (Wire(12, "trigger, 100 us high"),), "GND; USB to the computer"),
    Part("emergency stop", (Wire(13, "contact that opens"),), "to GND; its second contact cuts VMOT"),
    Part(
        "switches of X",
        (Wire(14, "lower"), Wire(15, "upper")),
        _SWITCH_NOTE,
    ),
    Part(
        "switches of Y",
        (Wire(16, "lower"), Wire(17, "upper")),
        _SWITCH_NOTE,
    ),
    Part(
        "switches of Z",
        (Wire(18, "lower"), Wire(19, "upper")),
        _SWITCH_NOTE,
    ),
    Part(
        "lens driver",
        (Wire(20, "PWM, 12.5 kHz: current"), Wire(21, "sign, high: negative")),
        "only with a tunable lens",
    ),
)
_ROW, _GAP, _TOP = 19, 13, 92
_PICO_X, _PICO_W, _PART_X, _PART_W = 40, 90, 270, 410
_WIDTH = 720
_LINE = "#37474f"


def svg() -> str:
    """Return the drawing."""
    body: list[str] = []
    y = _TOP
    for part in PARTS:
        height = _ROW * max(2, len(part.wires))
        first = y + (height - _ROW * len(part.wires)) / 2.0
        body.append(_box(_PART_X, y, _PART_W, height, "#eef3f6"))
        body.append(_text(_PART_X + _PART_W - 8, y + height / 2.0 - 3, part.name, "end", "bold"))
        body.append(_text(_PART_X + _PART_W - 8, y + height / 2.0 + 12, part.note, "end", "small"))
        for i, wire in enumerate(part.wires):
            at = first + _ROW * (i + 0.5)
            body.append(f'<path d="M{_PICO_X + _PICO_W} {at}H{_PART_X}" stroke="{_LINE}"/>')
            body.append(_text(_PICO_X + _PICO_W - 8, at + 4, f"GP{wire.pin}", "end"))
            body.append(_text(_PICO_X + 8, at + 4, str(board_pin(wire.pin)), "start", "small"))
            body.append(_text(_PART_X + 8, at + 4, wire.to))
        y += height + _GAP
    bottom = y - _GAP + 8
    pico = _box(_PICO_X, _TOP - 22, _PICO_W, bottom - _TOP + 22, "#e3f1e5")
    label = _text(_PICO_X + 8, _TOP - 6, "Pico", "start", "bold")
    head = [
        _text(
            _PICO_X, 22, "USB: computer.  GND of every part together, at one point near the supply.", "start"
        ),
        _text(
            _PICO_X,
            40,
            "Supply (24 V): fuse, contact of the emergency stop, VMOT of the three drivers, 100 uF at each.",
            "start",
        ),
        _text(
            _PICO_X,
            58,
            "Small numbers: pins of the Pico's board. GND: 3, 8, 13, 18, 23, 28, 38. 3.3 V: 36. "
            "Supply never to 39, 40.",
            "start",
        ),
    ]
    height = bottom + 16
    style = (
        "text{font:12px sans-serif;fill:#1c262b}.bold{font-weight:bold}.small{font-size:10.5px;fill:#546e7a}"
        "rect{stroke:#90a4ae}path{stroke-width:1.4}"
    )
    size = f'viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" height="{height:g}"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    ground = f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff" style="stroke:none"/>'
    return "\n".join([opening, f"<style>{style}</style>", ground, *head, pico, label, *body, "</svg>", ""])


def board_pin(gpio: int) -> int:
    """The number of a GPIO's pin on the board of a Raspberry Pi Pico: a ground follows GP1, and every four more."""
    if not 0 <= gpio <= 22:
        raise ValueError(f"GP{gpio} is not among GP0..GP22")
    return gpio + 1 + (gpio + 2) // 4


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" fill="{fill}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def main() -> int:
    """Write the drawing."""
    DRAWING.write_text(svg())
    return 0


if __name__ == "__main__":
    sys.exit(main())
