"""Messages to payloads and back, and the schema hash. All made from `table`."""

from __future__ import annotations

import functools
import struct
import zlib
from typing import NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from parfocal.board.wire.messages import PROTOCOL_VERSION, Kind, Message, Opcode, Wire
from parfocal.board.wire.table import CODES, TABLE

_STRUCT_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i"}


class Field(NamedTuple):
    """One field as declared in the table."""

    name: str
    wire: Wire
    per_axis: bool


def fields_of(message: type[Message]) -> tuple[Field, ...]:
    """The declared fields of a message, in wire order."""
    hints = get_type_hints(message, include_extras=True)
    fields = []
    for name in message.__struct_fields__:
        python_type, wire = get_args(hints[name])
        fields.append(Field(name, wire, get_origin(python_type) is tuple))
    return tuple(fields)


class _Layout:
    """Packs and unpacks one message class."""

    def __init__(self, message: type[Message]) -> None:
        self.message = message
        fields = fields_of(message)
        codes = (("3" if f.per_axis else "") + _STRUCT_CODES[f.wire.type] for f in fields)
        self.struct = struct.Struct("<" + "".join(codes))
        self._triples = tuple(i for i, field in enumerate(fields) if field.per_axis)

    def pack(self, message: Message) -> bytes:
        values = msgspec.structs.astuple(message)
        for i in reversed(self._triples):
            values = (*values[:i], *values[i], *values[i + 1 :])
        return self.struct.pack(*values)

    def unpack(self, payload: bytes) -> Message:
        values = self.struct.unpack(payload)
        for i in self._triples:
            values = (*values[:i], values[i : i + 3], *values[i + 3 :])
        return self.message(*values)


_LAYOUT_OF_MESSAGE = {entry.message: _Layout(entry.message) for entry in TABLE}
_LAYOUT_OF_KEY = {(entry.kind, entry.opcode): _LAYOUT_OF_MESSAGE[entry.message] for entry in TABLE}
_OPCODE_OF_REQUEST = {entry.message: entry.opcode for entry in TABLE if entry.kind is Kind.REQUEST}


def opcode_of(request: Message) -> Opcode:
    """Opcode of a request."""
    return _OPCODE_OF_REQUEST[type(request)]


def pack(message: Message) -> bytes:
    """Payload of a message. Raises ValueError when a value does not fit its wire type."""
    try:
        return _LAYOUT_OF_MESSAGE[type(message)].pack(message)
    except struct.error as error:
        raise ValueError(f"{message} cannot be sent: {error}") from error


def unpack(kind: int, opcode: int, payload: bytes) -> Message:
    """Message of a payload.

    Raises KeyError when the table has no such message, ValueError when the length differs.
    """
    layout = _LAYOUT_OF_KEY[kind, opcode]  # type: ignore[index]  # IntEnum keys compare equal to int
    try:
        return layout.unpack(payload)
    except struct.error as error:
        name, size = layout.message.__name__, layout.struct.size
        raise ValueError(f"{name} needs {size} bytes, got {len(payload)}") from error


def payload_bytes(message: type[Message]) -> int:
    """Length of the payload of a message class."""
    return _LAYOUT_OF_MESSAGE[message].struct.size


def schema_text() -> str:
    """The table as canonical text. Any change of meaning of a byte changes this text."""
    lines = [f"version {PROTOCOL_VERSION}"]
    for entry in TABLE:
        lines.append(f"{entry.opcode:#04x} {entry.kind.name} {entry.message.__name__}")
        for field in fields_of(entry.message):
            count = "[3]" if field.per_axis else ""
            lines.append(f"  {field.name} {field.wire.type}{count} {field.wire.unit}")
    for codes in CODES:
        lines += [f"{codes.__name__}.{code.name} {code.value}" for code in codes]
    return "\n".join(lines) + "\n"


@functools.cache
def schema_hash() -> int:
    """CRC-32 of `schema_text`. Host and board compare it before anything moves."""
    return zlib.crc32(schema_text().encode("ascii"))
