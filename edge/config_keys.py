"""Checks of a configuration that name the offending key."""

import difflib
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec


def check_keys(given: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Refuse keys of a decoded TOML file that neither `struct` nor its nested structs have.

    Raises ValueError naming the key, the known keys of its table, closest first, and other tables that have it.
    """
    tables = dict(_tables(struct))
    for table, keys in _given_tables(given, tables):
        for key in keys:
            if key not in tables[table]:
                raise ValueError(_unknown(table, key, tables))


def check_finite(config: msgspec.Struct, table: str = "") -> None:
    """Refuse nan and inf, which TOML allows. Raises ValueError naming the key."""
    for name in config.__struct_fields__:
        value, key = getattr(config, name), f"{table}{name}"
        if isinstance(value, msgspec.Struct):
            check_finite(value, f"{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} = {value}: it must be a finite number")


def in_toml_words(error: str) -> str:
    """An error text of msgspec in TOML's terms: `focus.delta_um` for `$.focus.delta_um`, `table` for `object`."""
    return re.sub(r"`\$\.?([^`]*)`", r"`\1`", error).replace("`object`", "`table`")


def _tables(struct: type[msgspec.Struct], table: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and keys of each table of `struct`; the name of the top level is empty."""
    fields = msgspec.structs.fields(struct)
    yield table, tuple(field.name for field in fields)
    for field in fields:
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _tables(field.type, _joined(table, field.name))


def _given_tables(
    given: dict[str, Any], tables: dict[str, tuple[str, ...]], table: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """Name and keys of each known table in a decoded file, outer tables first."""
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
    hint = f" (it exists in {elsewhere})" if elsewhere else ""
    where = f"keys of [{table}]" if table else "tables"
    return f"unknown key {_joined(table, key)!r}{hint}; {where}: {ordered}"


def _joined(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key
