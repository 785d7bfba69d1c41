"""Checks of a configuration that name the offending key."""

import difflib
import math
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import msgspec

_WRONG_CHOICE = re.compile(r"Invalid enum value (.+) - at `\$\.?([^`]*)`", re.DOTALL)
# What tomllib says of a table that is there twice: "Cannot declare ('board', 'z') twice".
_TWICE, _QUOTED = re.compile(r"Cannot declare (\(.*\)) twice"), r"'([^']*)'"


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


def in_toml_words(error: str, struct: type[msgspec.Struct]) -> str:
    """An error text of msgspec in TOML's terms: `focus.delta_um` for `$.focus.delta_um`, `table` for `object`.

    A wrong choice gets the choices that `struct` has for its key.
    """
    if (found := _WRONG_CHOICE.fullmatch(error)) is not None:
        given, key = found.groups()
        choices = ", ".join(map(repr, _choices(_type_of(struct, key))))
        return f"{key} = {given}: it must be one of {choices}"
    return re.sub(r"`\$\.?([^`]*)`", r"`\1`", error).replace("`object`", "`table`")


def decoded_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError that says what is wrong, in which line, and what to do."""
    text = text.removeprefix("\ufeff")  # editors of Windows begin a file with it
    try:
        given: dict[str, Any] = msgspec.toml.decode(text)
    except (msgspec.DecodeError, ValueError) as error:
        why = _TWICE.sub(
            lambda found: f"[{'.'.join(re.findall(_QUOTED, found[1]))}] is there twice", str(error)
        )
        why = why.replace("Cannot overwrite a value", "a key or table is there twice")
        at = re.search(r"line (\d+)", why)
        if at is None:
            raise ValueError(f"{why}. Correct its TOML.") from error
        line = text.split("\n")[int(at[1]) - 1].strip()
        raise ValueError(f"{why}: {line:.60}. Correct that line.") from error
    return given


def _type_of(struct: type[msgspec.Struct], key: str) -> Any:  # noqa: ANN401  # as it is annotated
    """The type of a key, such as `focus.strategy` or `calibration.keep_play[0]`."""
    kind: Any = struct
    for name in re.sub(r"\[[^]]*\]", "", key).split("."):
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.name == name)
    return kind


def _choices(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401  # as it is annotated
    """The values of the Literal in a type, which may be that of the items of a tuple."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))


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
