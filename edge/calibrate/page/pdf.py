"""A small PDF writer: text in Helvetica, lines, boxes and dots, on pages of A4. It needs no library.

Coordinates are points from the upper left corner, as in SVG.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Literal
from xml.etree import ElementTree as ET

PAGE_WIDTH, PAGE_HEIGHT = 595, 842  # A4
Anchor = Literal["start", "middle", "end"]
# Widths of Helvetica, in thousandths of the size: of some characters, of capitals, of all others.
_WIDTHS = (
    dict.fromkeys(" .,:;!'|/ijlI()[]", 278)
    | dict.fromkeys("0123456789", 556)
    | {"-": 333, "+": 584, "m": 833}
)
_CAPITAL, _OTHER = 680, 530
_ROUND = 0.5523  # how far the handles of a curve that draws a quarter of a circle lie


def width_of(words: str, size: float) -> float:
    """About how wide words are, points."""
    widths = (_WIDTHS.get(letter, _CAPITAL if letter.isupper() else _OTHER) for letter in words)
    return size * sum(widths) / 1000.0


def wrapped(words: str, size: float, width: float) -> list[str]:
    """Words in lines of at most `width` points; a longer word has a line of its own."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


class Page:
    """One page, drawn from the upper left corner."""

    def __init__(self) -> None:
        """An empty page."""
        self._drawn: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        *,
        bold: bool = False,
        anchor: Anchor = "start",
        colour: str = "#222",
        upwards: bool = False,
    ) -> None:
        """Write words on the base line `y`; `upwards` turns them by 90 degrees."""
        shift = width_of(words, size) * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
        at = (
            f"0 1 -1 0 {x:.2f} {PAGE_HEIGHT - y - shift:.2f}"
            if upwards
            else f"1 0 0 1 {x - shift:.2f} {PAGE_HEIGHT - y:.2f}"
        )
        escaped = re.sub(r"([\\()])", r"\\\1", words)
        self._drawn.append(
            f"{_rgb(colour)} rg BT /{'B' if bold else 'F'} {size:.2f} Tf {at} Tm ({escaped}) Tj ET"
        )

    def lines(self, points: Sequence[tuple[float, float]], colour: str, width: float = 0.6) -> None:
        """Join points by lines."""
        way = " ".join(
            f"{x:.2f} {PAGE_HEIGHT - y:.2f} {'l' if number else 'm'}" for number, (x, y) in enumerate(points)
        )
        self._drawn.append(f"{_rgb(colour)} RG {width:.2f} w {way} S")

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a box whose upper left corner is given."""
        self._drawn.append(
            f"{_rgb(colour)} rg {x:.2f} {PAGE_HEIGHT - y - height:.2f} {width:.2f} {height:.2f} re f"
        )

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """Fill a circle."""
        y, handle = PAGE_HEIGHT - y, radius * _ROUND
        quarters = [
            (x + radius, y + handle, x + handle, y + radius, x, y + radius),
            (x - handle, y + radius, x - radius, y + handle, x - radius, y),
            (x - radius, y - handle, x - handle, y - radius, x, y - radius),
            (x + handle, y - radius, x + radius, y - handle, x + radius, y),
        ]
        curves = " ".join(" ".join(f"{one:.2f}" for one in quarter) + " c" for quarter in quarters)
        self._drawn.append(f"{_rgb(colour)} rg {x + radius:.2f} {y:.2f} m {curves} f")

    def figure(self, x: float, y: float, scale: float, svg: str) -> None:
        """Draw a figure of `parfocal.edge.calibrate.page.svg`, its upper left corner at (x, y)."""
        for one in ET.fromstring(svg).iter():  # noqa: S314  # our own
            given = one.attrib
            numbers = {
                key: scale * float(text) for key, text in given.items() if re.fullmatch(r"-?[\d.]+", text)
            }
            if one.tag == "line":
                ends = [(x + numbers[f"x{k}"], y + numbers[f"y{k}"]) for k in "12"]
                self.lines(ends, given["stroke"])
            elif one.tag == "polyline":
                pairs = (pair.split(",") for pair in given["points"].split())
                way = [(x + scale * float(a), y + scale * float(b)) for a, b in pairs]
                self.lines(way, given["stroke"], 0.9)
            elif one.tag == "circle":
                self.dot(x + numbers["cx"], y + numbers["cy"], numbers["r"], given["fill"])
            elif one.tag == "rect":
                at = x + numbers["x"], y + numbers["y"]
                self.box(*at, numbers["width"], numbers["height"], given["fill"])
            elif one.tag == "text":
                anchors: dict[str, Anchor] = {"start": "start", "middle": "middle", "end": "end"}
                self.text(
                    x + numbers["x"],
                    y + numbers["y"],
                    one.text or "",
                    10.0 * scale,
                    bold=given.get("font-weight") == "bold",
                    anchor=anchors[given["text-anchor"]],
                    colour=given.get("fill", "#222"),
                    upwards="transform" in given,
                )

    def encoded(self) -> bytes:
        """What is drawn, as the page's stream."""
        return "\n".join(self._drawn).encode("cp1252", "replace")


def pdf_of(pages: Sequence[Page], title: str) -> bytes:
    """The document."""
    kids = " ".join(f"{6 + 2 * k} 0 R" for k in range(len(pages)))
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        *(
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{font} /Encoding /WinAnsiEncoding >>".encode()
            for font in ("Helvetica", "Helvetica-Bold")
        ),
        b"<< /Title (" + re.sub(r"([\\()])", r"\\\1", title).encode("cp1252", "replace") + b") >>",
    ]
    for number, page in enumerate(pages):
        stream = zlib.compress(page.encoded())
        parts.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE_WIDTH} {PAGE_HEIGHT}] /Contents {7 + 2 * number} 0 R "
            "/Resources << /Font << /F 3 0 R /B 4 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        parts.append(head + stream + b"\nendstream")
    written, starts = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        starts.append(len(written))
        written += f"{number} 0 obj\n".encode() + part + b"\nendobj\n"
    table = "".join(f"{start:010d} 00000 n \n" for start in starts)
    n_objects = len(parts) + 1
    return (
        written
        + f"xref\n0 {n_objects}\n0000000000 65535 f \n{table}".encode()
        + f"trailer\n<< /Size {n_objects} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{len(written)}\n%%EOF\n".encode()
    )


def _rgb(colour: str) -> str:
    """Red, green and blue, 0..1, of "#rgb", "#rrggbb" or "rgb(r,g,b)"."""
    if colour.startswith("rgb"):
        levels = [int(level) for level in re.findall(r"\d+", colour)]
    else:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        levels = [int(digits[k : k + 2], 16) for k in (0, 2, 4)]
    return " ".join(f"{level / 255.0:.3f}" for level in levels)
