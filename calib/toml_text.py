"""A struct of measured values as TOML."""

import json
import math
from datetime import timezone
from typing import Any

import msgspec

_FIRST_LINE = (
    "# Measured on this microscope by `parfocal calibrate`. What you decide goes into parfocal.toml."
)


def toml_text(calibration: msgspec.Struct) -> str:
    """The calibration as TOML; the file of a person who opens it explains itself. Raises ValueError."""
    lines = [_FIRST_LINE]
    tables: list[str] = []
    for name in calibration.__struct_fields__:
        value = getattr(calibration, name)
        if isinstance(value, msgspec.Struct):
            tables += ["", f"[{name}]", *_pairs(value)]
        elif value is not None:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _pairs(value: msgspec.Struct) -> list[str]:
    given = {field: getattr(value, field) for field in value.__struct_fields__}
    return [f"{field} = {_toml(one)}" for field, one in given.items() if one is not None]


def _toml(value: Any) -> str:  # noqa: ANN401  # text, numbers or a date
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        return repr(value)
    return str(value.astimezone(timezone.utc).isoformat())
