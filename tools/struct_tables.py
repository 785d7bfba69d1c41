"""Writes the tables of docs/configuration.md and docs/json.md from the structs. `python -m tools.struct_tables`.

A table follows a mark, which names the tables of the configuration, or a struct behind `--json`, that it is made from:

    <!-- keys: board.x board.y board.z -->
    <!-- struct: AxisStatus -->

Names, types, ranges, defaults and units come from the code. The last column, the meaning, is written by hand in the
page and kept; a test fails while a meaning is missing, or while a page differs from what this program writes.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from parfocal.board.config import _RANGES as AXIS_RANGES
from parfocal.board.config import AxisConfig
from parfocal.board.conformance.report import ConformanceReport
from parfocal.board.status import BoardStatus
from parfocal.calib.camera.exposure_window import ExposureWindow
from parfocal.edge.cli.calibrating.all_parts import AllReport
from parfocal.edge.cli.calibrating.focus_verb import LoopReport
from parfocal.edge.cli.calibrating.int8_verb import Int8Report
from parfocal.edge.cli.calibrating.lens_verb import LensReport
from parfocal.edge.cli.calibrating.optics_verb import OpticsReport
from parfocal.edge.cli.calibrating.trigger_verb import TriggerReport
from parfocal.edge.cli.calibrating.verbs import BacklashReport, CameraReport, StageReport
from parfocal.edge.cli.findings import Finding
from parfocal.edge.config import Config
from parfocal.edge.scan.continuous.plan import ForetoldSweeps
from parfocal.edge.scan.follow_report import FollowReport
from parfocal.edge.scan.report import RunReport
from parfocal.edge.scan.survey import SurveyReport
from parfocal.edge.scan.tiling.plan import Foretold
from parfocal.edge.scan.tiling.report import ScanReport
from parfocal.edge.slide.export import ExportReport
from parfocal.edge.slide.master import MasterReport
from parfocal.edge.slide.quality.report import QualityReport
from parfocal.edge.slide.review.concordance import ConcordanceReport
from parfocal.edge.slide.review.draw import ReviewReport
from parfocal.edge.stacks.judging.results import Evaluation
from parfocal.edge.stacks.record import Recording
from parfocal.engines.build import Outcome
from parfocal.engines.choose import Choice
from parfocal.engines.model.contract import Contract

# What a program finds behind `--json`; the structs inside these are documented too.
JSON_ROOTS = (
    *(
        RunReport,
        FollowReport,
        SurveyReport,
        MasterReport,
        ExportReport,
        QualityReport,
        ReviewReport,
        ConcordanceReport,
        ScanReport,
        Foretold,
        ForetoldSweeps,
        Recording,
        Evaluation,
        BacklashReport,
        StageReport,
        CameraReport,
        OpticsReport,
        Int8Report,
        LoopReport,
        LensReport,
        TriggerReport,
        ExposureWindow,
        AllReport,
        BoardStatus,
        ConformanceReport,
        Finding,
    ),
    *(Outcome, Contract, Choice),
)
DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "configuration.md", DOCS / "json.md")
# A mark, a blank line, and the table below it, if there is one yet.
TABLE = re.compile(r"<!-- (keys|struct): ([\w. -]+?) -->\n\n((?:\|.*\n)*)")
UNITS = {
    "um_per_step": "um/step",
    "um_per_px": "um/px",
    "um_per_s2": "um/s2",
    "um_per_s": "um/s",
    "um": "um",
    "px": "px",
    "ms": "ms",
    "s": "s",
    "baud": "baud",
}


def written(page: str) -> str:
    """The text of a page with every marked table made anew."""
    return TABLE.sub(lambda found: f"<!-- {found[1]}: {found[2]} -->\n\n{_table(*found.groups())}", page)


def without_meaning(page: str) -> list[str]:
    """The first cell of every row whose last cell is empty."""
    rows = [_cells(line) for _, _, table in TABLE.findall(page) for line in table.splitlines()]
    return [cells[0] for cells in rows if not cells[-1]]


def configuration_tables(struct: type[msgspec.Struct] = Config, name: str = "") -> Iterator[str]:
    """The name of every table of the configuration that holds keys of its own: "camera", "board.z"."""
    fields = msgspec.structs.fields(struct)
    if name and not all(_is_struct(field.type) for field in fields):
        yield name
    for field in fields:
        if _is_struct(field.type):
            yield from configuration_tables(field.type, f"{name}.{field.name}".lstrip("."))


def json_structs() -> dict[str, inspect.StructType]:
    """Every struct behind `--json`, by its name."""
    found: dict[str, inspect.StructType] = {}
    for root in JSON_ROOTS:
        _collect(inspect.type_info(root), found)
    return found


def main() -> int:
    """Write the pages; exit code 1 while a meaning is missing."""
    missing = []
    for path in PAGES:
        text = written(path.read_text())
        path.write_text(text)
        missing += [f"{path.name}: {name} has no meaning yet" for name in without_meaning(text)]
    print("\n".join(missing) or "every table is up to date")
    return 1 if missing else 0


def _table(kind: str, names: str, old: str) -> str:
    meanings = {cells[0]: cells[-1] for cells in map(_cells, old.splitlines())}
    head, rows = _of_keys(names.split()) if kind == "keys" else _of_struct(names)
    lines = [[*head, "meaning"], ["---"] * (len(head) + 1)]
    lines += [[*row, meanings.get(row[0], "")] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _of_keys(tables: list[str]) -> tuple[list[str], list[list[str]]]:
    """Keys of tables that are read into the same struct, such as the axes of the board."""
    structs = [_configured(table) for table in tables]
    info = inspect.type_info(type(structs[0]))
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{tables[0]} is not a table of the configuration")
    rows = []
    for field in info.fields:
        if isinstance(field.type, inspect.StructType):
            continue
        defaults = [_shown(getattr(struct, field.name)) for struct in structs]
        kind = _type_text(field.type).replace("`null`", "left out")
        if isinstance(structs[0], AxisConfig):
            low, high = AXIS_RANGES[field.name]
            kind += f" ({low:.7g}..{high:.7g})"
        rows.append([f"`{field.name}`", kind, _joined(tables, defaults), _unit(field.name)])
    return ["key", "type", "default", "unit"], rows


def _of_struct(name: str) -> tuple[list[str], list[list[str]]]:
    fields = json_structs()[name].fields
    return ["key", "type"], [[f"`{field.encode_name}`", _type_text(field.type)] for field in fields]


def _configured(table: str) -> msgspec.Struct:
    struct: msgspec.Struct = Config()
    for name in table.split("."):
        struct = getattr(struct, name)
    return struct


def _joined(tables: list[str], defaults: list[str]) -> str:
    """One default where all tables share it, else each with the last part of its table's name."""
    if len(set(defaults)) == 1:
        return defaults[0]
    return ", ".join(
        f"{table.rpartition('.')[2]}: {text}" for table, text in zip(tables, defaults, strict=True)
    )


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{round(value, 6)}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name == end or name.endswith(f"_{end}")), "")


def _type_text(info: inspect.Type) -> str:
    if isinstance(info, inspect.UnionType):
        return " or ".join(_type_text(one) for one in info.types)
    if isinstance(info, inspect.LiteralType):
        return " or ".join(f"`{msgspec.json.encode(value).decode()}`" for value in info.values)
    if isinstance(info, inspect.IntType | inspect.FloatType):
        return ("whole number" if isinstance(info, inspect.IntType) else "number") + _range(info)
    if isinstance(info, inspect.VarTupleType | inspect.ListType):
        return f"list of {_type_text(info.item_type)}"
    if isinstance(info, inspect.TupleType):
        return f"{len(info.item_types)} x {_type_text(info.item_types[0])}"
    if isinstance(info, inspect.StructType):
        return f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"
    if isinstance(info, inspect.DictType):
        return f"table of {_type_text(info.value_type)}"
    names: dict[type[inspect.Type], str] = {
        inspect.StrType: "text",
        inspect.BoolType: "`true` or `false`",
        inspect.NoneType: "`null`",
        inspect.DateTimeType: "date and time",
    }
    return names[type(info)]


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    low, high = info.ge, info.le
    if low is not None and high is not None:
        return f" ({low:g}..{high:g})"
    limits = ((">", info.gt), (">=", info.ge), ("<", info.lt), ("<=", info.le))
    said = [f"{sign} {limit:g}" for sign, limit in limits if limit is not None]
    return f" ({', '.join(said)})" if said else ""


def _is_struct(kind: Any) -> bool:  # noqa: ANN401  # a type or an annotation
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _collect(info: inspect.Type, found: dict[str, inspect.StructType]) -> None:
    if isinstance(info, inspect.StructType):
        if found.setdefault(info.cls.__name__, info).cls is not info.cls:
            raise TypeError(f"two structs behind --json have the name {info.cls.__name__}")
        for field in info.fields:
            _collect(field.type, found)
    elif isinstance(info, inspect.VarTupleType | inspect.ListType):
        _collect(info.item_type, found)
    elif isinstance(info, inspect.TupleType):
        for item in info.item_types:
            _collect(item, found)
    elif isinstance(info, inspect.UnionType):
        for one in info.types:
            _collect(one, found)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line else [""]


if __name__ == "__main__":
    sys.exit(main())
