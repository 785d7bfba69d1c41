"""The focus loop beside the autofocus patterns of other open microscopes, on one virtual microscope.

`python -m tests.bench.focus [--out FOLDER] [--sections WORD ...] [--policies NAME ...] [--anew]` writes `focus.json`,
`focus.md` (one table) and `focus.png` (one picture) into build/bench. A row that is done is on disk and is not measured
again, so a run may be stopped at any time and goes on where it was; `--anew` measures the chosen rows again.
Everything is simulated in virtual time: a stub motor board with play, swing and an error of the screw, real and drawn
tissue under simulated optics, camera noise, a free-running camera. "ours" is computing time of this machine, and
depends on what else it does.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from parfocal.edge.focus.judging.depth import depth_of_field_um
from tests.bench.focus_policies import NAMES, OURS
from tests.bench.focus_rows import SECTIONS, Row, measured

COLUMNS = (
    ("fields", "fields", "d"),
    ("images", "images", ".1f"),
    ("seconds", "s", ".2f"),
    ("p95_s", "p95 s", ".2f"),
    ("waited_s", "of them waiting", ".2f"),
    ("limit_s", "limit, s", ".2f"),
    ("over_limit", "over the limit", ".2f"),
    ("ours_s", "ours, s", ".2f"),
    ("mean_um", "mean um", ".2f"),
    ("p95_um", "p95 um", ".2f"),
    ("largest_um", "largest um", ".2f"),
    ("within_depth", "within depth", ".0%"),
    ("wrong", "wrong", "d"),
    ("outcomes", "outcomes", "s"),
    ("rise_um", "rise um", ".1f"),
)


LEAST_DRAWN_UM = 0.04


def table(rows: list[Row]) -> str:
    """All rows in one table in Markdown."""
    lines = [f"| fields | policy | {' | '.join(head for _, head, _ in COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for row in rows:
        values = [(getattr(row, key), shape) for key, _, shape in COLUMNS]
        cells = [format(value, shape) if value is not None else "-" for value, shape in values]
        lines.append(f"| {row.section} | {row.policy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """Time against error of each policy, a panel for each section: one picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker
    from matplotlib.lines import Line2D

    found = {s.title: [row for row in rows if row.section == s.title] for s in SECTIONS if s.kind != "blank"}
    panels = {title: of for title, of in found.items() if any(row.p95_um is not None for row in of)}
    n_rows = -(-len(panels) // 4)
    figure, grid = plt.subplots(n_rows, 4, figsize=(15.0, 3.3 * n_rows + 1.2), squeeze=False)
    for axis in grid.flat[len(panels) :]:
        axis.set_visible(False)
    marks = dict(zip(NAMES, "sD^v<>ph*Xo", strict=True))
    for axis, (title, of) in zip(grid.flat, panels.items(), strict=False):
        depth_um = depth_of_field_um("40x/0.65" if title.startswith("40x") else "20x/0.75")
        axis.axhspan(LEAST_DRAWN_UM, depth_um, color="0.93", lw=0.0)
        axis.axvline(sum(row.limit_s for row in of) / len(of), color="0.4", ls=":", lw=1.2)
        drawn = sorted((row for row in of if row.p95_um is not None), key=lambda row: row.seconds)
        for k, row in enumerate(drawn):
            is_ours = row.policy in OURS
            colour = "C3" if is_ours else "C0"
            is_whole = row.wrong == 0 and row.lost == 0
            at = row.seconds, min(max(row.p95_um or 0.0, 2.0 * LEAST_DRAWN_UM), 40.0)
            axis.scatter(
                *at,
                s=90 if is_ours else 45,
                marker=marks[row.policy],
                c=colour if is_whole else "white",
                edgecolors=colour,
                zorder=3 if is_ours else 2,
            )
            beside = (0, 8) if k % 2 else (0, -15)  # neighbours leave each other room
            number = f"{row.images:.1f}"
            axis.annotate(
                number, at, beside, textcoords="offset points", ha="center", fontsize=8, color=colour
            )
        axis.set(title=title, xscale="log", yscale="log", xlim=(0.06, 8.0), ylim=(LEAST_DRAWN_UM, 60.0))
        for ruler, ticks in (
            (axis.xaxis, (0.1, 0.3, 1.0, 3.0)),
            (axis.yaxis, (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)),
        ):
            ruler.set_major_locator(ticker.FixedLocator(ticks))
            ruler.set_major_formatter(ticker.FormatStrFormatter("%g"))
            ruler.set_minor_locator(ticker.NullLocator())
    for axis in grid[:, 0]:
        axis.set_ylabel("p95 of the error, um")
    for axis in grid.flat[max(0, len(panels) - 4) : len(panels)]:
        axis.set_xlabel("s of the microscope a field")
    handles = [
        Line2D([], [], ls="", marker=marks[name], color="C3" if name in OURS else "C0", label=name)
        for name in NAMES
    ]
    words = (
        "Red: ours. Numbers: images a field. White: some fields were lost, or ended more than a depth of field off.\n"
        "Grey: within a depth of field. Dotted: the least time that the motors allow."
    )
    figure.tight_layout(rect=(0.0, 0.0, 1.0, 1.0 - 1.1 / (3.3 * n_rows + 1.2)))
    figure.legend(handles=handles, loc="upper center", ncols=6, fontsize=9, frameon=False)
    figure.text(0.5, 1.0 - 0.85 / (3.3 * n_rows + 1.2), words, ha="center", va="center", fontsize=9)
    figure.savefig(path, dpi=90)


def kept_in(path: Path) -> dict[tuple[str, str], Row]:
    """The rows that are done."""
    rows = msgspec.json.decode(path.read_bytes(), type=list[Row]) if path.exists() else []
    return {(row.section, row.policy): row for row in rows}


def main() -> int:
    """Measure the chosen rows that are missing; write the report, the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--sections", nargs="+", help="those whose titles begin so")
    parser.add_argument("--policies", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--anew", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "focus.json"
    order = [(section, name) for section in SECTIONS for name in section.names]
    chosen = [
        (section, name)
        for section, name in order
        if name in asked.policies and (not asked.sections or section.title.startswith(tuple(asked.sections)))
    ]
    for number, (section, name) in enumerate(chosen, start=1):
        kept, key = kept_in(path), (section.title, name)
        if key in kept and not asked.anew:
            continue
        kept[key] = measured(section, name)
        rows = [kept[s.title, other] for s, other in order if (s.title, other) in kept]
        path.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
        print(f"{number} of {len(chosen)}: {section.title}, {name}", file=sys.stderr, flush=True)  # noqa: T201
    kept = kept_in(path)
    rows = [kept[s.title, name] for s, name in order if (s.title, name) in kept]
    (asked.out / "focus.md").write_text(table(rows) + "\n")
    print(table(rows))  # noqa: T201
    draw(rows, asked.out / "focus.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
