"""What is wrong with a configuration, said by the names of its keys."""

import difflib
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec


def check_keys(given: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Refuse keys of a decoded TOML file that `struct`, or a struct inside it, does not have.

    Raises ValueError that names the key, the known ones of its table with the nearest first, and the other tables
    that have it.
    """
    tables = dict(_tables(struct))
    for table, keys in _given_tables(given, tables):
        for key in keys:
            if key not in tables[table]:
                raise ValueError(_unknown(table, key, tables))


def check_finite(config: msgspec.Struct, table: str = "") -> None:
    """Refuse numbers that are not finite, which TOML can write. Raises ValueError that names the key."""
    for name in config.__struct_fields__:
        value, key = getattr(config, name), f"{table}{name}"
        if isinstance(value, msgspec.Struct):
            check_finite(value, f"{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} = {value}: it must be a finite number")


def in_toml_words(error: str) -> str:
    """A text of msgspec in words of TOML: `focus.delta_um` where it writes `$.focus.delta_um`, `table` for `object`."""
    return re.sub(r"`\$\.?([^`]*)`", r"`\1`", error).replace("`object`", "`table`")


def _tables(struct: type[msgspec.Struct], table: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and keys of each table that `struct` is read from; the name of the outermost is empty."""
    fields = msgspec.structs.fields(struct)
    yield table, tuple(field.name for field in fields)
    for field in fields:
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _tables(field.type, _joined(table, field.name))


def _given_tables(
    given: dict[str, Any], tables: dict[str, tuple[str, ...]], table: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Name and keys of each known table of a decoded file, outer ones first."""
    yield table, list(given)
    for key, value in given.items():
        inner = _joined(table, key)
        if inner in tables and isinstance(value, dict):
            yield from _given_tables(value, tables, inner)


def _unknown(table: str, key: str, tables: dict[str, tuple[str, ...]]) -> str:
    known = tables[table]
    nearest = difflib.get_close_matches(key, known, n=len(known), cutoff=0.6)
    ordered = ", ".join([*nearest, *(name for name in known if name not in nearest)])
    elsewhere = ", ".join(f"[{other}]" for other, keys in tables.items() if key in keys and other)
    hint = f" (there is one in {elsewhere})" if elsewhere else ""
    where = f"[{table}]" if table else "the file"
    return f"unknown key {_joined(table, key)!r}{hint}; {where} may have {ordered}"


def _joined(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key
