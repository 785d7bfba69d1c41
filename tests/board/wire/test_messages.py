"""The table: every message packs, unpacks and fits a frame."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.board.wire import layout, messages
from parfocal.board.wire.layout import fields_of, pack, unpack
from parfocal.board.wire.messages import Kind, Message, Opcode
from parfocal.board.wire.table import TABLE, Entry

RANGES = {"u8": (0, 2**8), "u16": (0, 2**16), "u32": (0, 2**32), "u64": (0, 2**64), "i32": (-(2**31), 2**31)}


@functools.cache
def messages_of(entry: Entry) -> st.SearchStrategy[Message]:
    values: list[st.SearchStrategy[object]] = []
    for field in fields_of(entry.message):
        low, high = RANGES[field.wire.type]
        one = st.integers(low, high - 1)
        values.append(st.tuples(one, one, one) if field.per_axis else one)
    return st.builds(entry.message, *values)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.opcode.name}-{entry.kind.name}")
@settings(max_examples=20)  # of each of the messages, which are packed by one piece of code
@given(data=st.data())
def test_every_message_survives_packing_and_fits_a_frame(entry: Entry, data: st.DataObject) -> None:
    message = data.draw(messages_of(entry))
    payload = pack(message)
    assert len(payload) <= messages.MAX_PAYLOAD_BYTES
    assert unpack(entry.kind, entry.opcode, payload) == message
    with pytest.raises(ValueError, match="bytes, got"):
        unpack(entry.kind, entry.opcode, payload + b"\0")


def test_the_table_has_one_row_per_opcode_and_kind_and_documents_every_field() -> None:
    assert len({(entry.opcode, entry.kind) for entry in TABLE}) == len(TABLE)
    assert {entry.opcode for entry in TABLE} == set(Opcode)
    for entry in TABLE:
        assert entry.message.__doc__
        for field in fields_of(entry.message):
            assert field.wire.unit
            assert field.wire.meaning


def test_an_unknown_message_is_not_decoded() -> None:
    with pytest.raises(KeyError):
        unpack(Kind.EVENT, Opcode.HELLO, b"")


@pytest.mark.parametrize("duty", [-1, 65536])
def test_a_value_that_does_not_fit_its_wire_type_is_refused(duty: int) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        pack(messages.Lamp(duty))


def test_the_schema_text_names_every_field_with_type_and_unit() -> None:
    lines = layout.schema_text().splitlines()
    assert "0x10 REQUEST MoveAbs" in lines
    assert "  target_steps i32[3] steps" in lines
    assert "Status.STALE 2" in lines
