"""A map of the tiles of a scan as inline SVG: one square a tile, coloured by a value, with the value as a tip."""

import html
import math
from collections.abc import Sequence

import msgspec

MAX_WIDTH, MAX_HEIGHT = 360, 420
LEGEND_HEIGHT = 34
NO_VALUE, MARK = "#e6e6e6", "#d00000"
# From low to high; readable in grey and with colour blindness (viridis; blue to white to red).
RISING = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
DIVERGING = ("#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b")


class Square(msgspec.Struct, frozen=True):
    """A tile on a map. `value` is None where there is none; `is_marked` tiles get a frame."""

    row: int
    column: int
    value: float | None
    is_marked: bool = False


def map_of(
    title: str, unit: str, squares: Sequence[Square], limits: tuple[float, float], colours: Sequence[str]
) -> str:
    """The map; values beyond `limits` get the colours of their ends."""
    if not squares:
        return f"<p>{html.escape(title)}: nothing was scanned.</p>"
    rows, columns = (1 + max(getattr(one, name) for one in squares) for name in ("row", "column"))
    side = min(MAX_WIDTH / columns, MAX_HEIGHT / rows, 40.0)
    width, height = columns * side, rows * side
    shown_width, label = max(width, 240.0), html.escape(title, quote=True)
    box = f"0 0 {shown_width:.0f} {height + LEGEND_HEIGHT:.0f}"
    parts = [
        f'<figure><svg viewBox="{box}" width="{shown_width:.0f}" role="img" aria-label="{label}">',
    ]
    for one in squares:
        frame = f' stroke="{MARK}" stroke-width="{max(1.0, side / 10):.1f}"' if one.is_marked else ""
        inset = side * 0.06
        said = "no value" if one.value is None else f"{one.value:.2f} {unit}"
        parts.append(
            f'<rect x="{one.column * side + inset:.1f}" y="{one.row * side + inset:.1f}" '
            f'width="{side - 2 * inset:.1f}" height="{side - 2 * inset:.1f}" '
            f'fill="{colour_of(one.value, limits, colours)}"{frame}>'
            f"<title>row {one.row}, column {one.column}: {said}</title></rect>"
        )
    parts += _legend(height, limits, unit, colours)
    return "".join([*parts, f"</svg><figcaption>{html.escape(title)}</figcaption></figure>"])


def colour_of(value: float | None, limits: tuple[float, float], colours: Sequence[str]) -> str:
    """The colour of a value between `limits`, as `#rrggbb`."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    low, high = limits
    place = min(max((value - low) / max(high - low, 1e-12), 0.0), 1.0) * (len(colours) - 1)
    below = min(int(place), len(colours) - 2)
    rest = place - below
    mixed = [
        round((1 - rest) * int(colours[below][k : k + 2], 16) + rest * int(colours[below + 1][k : k + 2], 16))
        for k in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _legend(top: float, limits: tuple[float, float], unit: str, colours: Sequence[str]) -> list[str]:
    low, high = limits
    steps = 24
    parts = [
        f'<rect x="{8 * k}" y="{top + 8:.0f}" width="8" height="8" '
        f'fill="{colour_of(low + (high - low) * k / (steps - 1), limits, colours)}"/>'
        for k in range(steps)
    ]
    for x, anchor, value in ((0, "start", low), (8 * steps, "end", high)):
        parts.append(
            f'<text x="{x}" y="{top + 29:.0f}" text-anchor="{anchor}" font-size="11">{value:.5g} {unit}</text>'
        )
    return parts
