"""Plots as inline SVG: points and lines over axes with round numbers."""

import html
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 26, 40
COLOURS = ("#1f5fa8", "#c2571a", "#3b7d3b", "#7a4fa0", "#8a6d1d", "#555555")
N_TICKS = 5


class Series(msgspec.Struct, frozen=True):
    """Points of one colour, (x, y) each, joined by a line or not. `name` is shown in the legend, if it has one."""

    points: tuple[tuple[float, float], ...]
    name: str = ""
    kind: Literal["line", "dots"] = "line"
    colour: int = 0


def plot(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """A plot of `series` as an `<svg>` element; a note in its place where there is nothing to draw."""
    points = [(x, y) for one in series for x, y in one.points if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return f"<p>{html.escape(title)}: nothing was recorded.</p>"
    x_range, y_range = (_widened([point[k] for point in points]) for k in (0, 1))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, quote=True)}">',
        _text(LEFT, 16, title, "start", "bold"),
        *_axis_x(x_range, x_label),
        *_axis_y(y_range, y_label),
    ]
    for number, one in enumerate(series):
        at = [
            (_x(x, x_range), _y(y, y_range)) for x, y in one.points if math.isfinite(x) and math.isfinite(y)
        ]
        colour = COLOURS[one.colour % len(COLOURS)]
        if one.kind == "line":
            joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        else:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}"/>' for x, y in at]
        if one.name:
            parts.append(_text(WIDTH - RIGHT, TOP + 12 + 13 * number, one.name, "end", colour=colour))
    return "".join([*parts, "</svg>"])


def shaded(title: str, grid: Sequence[Sequence[float]]) -> str:
    """A grid of shares, 0..1, as shades of grey with their percentages, as an `<svg>` element."""
    n_rows, n_columns = len(grid), max((len(row) for row in grid), default=0)
    if not n_columns:
        return f"<p>{html.escape(title)}: nothing was recorded.</p>"
    width, height = (WIDTH - 20) / n_columns, (HEIGHT - 30) / n_rows
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, quote=True)}">',
        _text(10, 16, title, "start", "bold"),
    ]
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            grey = round(255.0 * min(max(value, 0.0), 1.0))
            x, y = 10 + column * width, 24 + row * height
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                f'fill="rgb({grey},{grey},{grey})"/>'
            )
            ink = "#000" if grey > 110 else "#fff"
            parts.append(
                _text(x + width / 2, y + height / 2 + 3, f"{100.0 * value:.0f}", "middle", colour=ink)
            )
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`."""
    raw = (high - low) / N_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _widened(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    spare = 0.05 * (high - low) or 0.5 * abs(low) or 1.0
    return low - spare, high + spare


def _x(value: float, limits: tuple[float, float]) -> float:
    return LEFT + (value - limits[0]) / (limits[1] - limits[0]) * (WIDTH - LEFT - RIGHT)


def _y(value: float, limits: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (value - limits[0]) / (limits[1] - limits[0]) * (HEIGHT - TOP - BOTTOM)


def _axis_x(limits: tuple[float, float], label: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    parts = [f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="#888"/>']
    parts += [_text(_x(tick, limits), bottom + 14, f"{tick:.6g}", "middle") for tick in ticks(*limits)]
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, label, "middle")]


def _axis_y(limits: tuple[float, float], label: str) -> list[str]:
    parts = [f'<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{HEIGHT - BOTTOM}" stroke="#888"/>']
    for tick in ticks(*limits):
        y = _y(tick, limits)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 4, y + 3, f"{tick:.4g}", "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 12 {middle:.0f})"'
    parts.append(f'<text x="12" y="{middle:.0f}" text-anchor="middle" {turned}>{html.escape(label)}</text>')
    return parts


def _text(x: float, y: float, words: str, anchor: str, weight: str = "normal", colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">'
        f"{html.escape(words)}</text>"
    )
