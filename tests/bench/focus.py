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

from tests.bench.focus_picture import draw
from tests.bench.focus_policies import NAMES
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


def table(rows: list[Row]) -> str:
    """All rows in one table in Markdown."""
    lines = [f"| fields | policy | {' | '.join(head for _, head, _ in COLUMNS)} |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for row in rows:
        values = [(getattr(row, key), shape) for key, _, shape in COLUMNS]
        cells = [format(value, shape) if value is not None else "-" for value, shape in values]
        lines.append(f"| {row.section} | {row.policy} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
