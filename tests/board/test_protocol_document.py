"""PROTOCOL.md and the C header come from the table, and the golden packets mean the same in both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from parfocal.board.wire import layout, messages
from parfocal.board.wire.layout import fields_of
from parfocal.board.wire.messages import Kind, Message
from parfocal.board.wire.packet import Packet, StreamDecoder, encode
from parfocal.board.wire.table import TABLE
from tools.firmware.c_header import header, snake
from tools.firmware.protocol_reference import DOCUMENT, EXAMPLES, GOLDEN, MARK, golden_json, reference

SECTION = re.compile(r"^### (?P<opcode>[A-Z_]+) (?P<kind>request|response|event) \(0x[0-9a-f]{2}\)$")
HEX = re.compile(r"^`(?P<hex>(?:[0-9a-f]{2} )*[0-9a-f]{2})`$")


def golden() -> dict[str, bytes]:
    """Every hex example of the document under its heading."""
    found: dict[str, bytes] = {}
    heading = ""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("### "):
            heading = line.removeprefix("### ")
        elif match := HEX.match(line):
            found[heading] = bytes.fromhex(match["hex"])
    return found


def decoded(frame: bytes) -> Packet:
    decoder = StreamDecoder()
    (packet,) = decoder.feed(frame)
    assert (decoder.errors.crc_errors, decoder.errors.framing_errors) == (0, 0)
    return packet


def test_the_reference_matches_the_table() -> None:
    _, found, written = DOCUMENT.read_text().partition(MARK)
    assert found
    assert written.lstrip("\n") == reference(), "run `python -m tools.firmware.protocol_reference`"


def test_the_golden_packets_for_programs_are_those_of_the_document() -> None:
    assert GOLDEN.read_text() == golden_json(), "run `python -m tools.firmware.protocol_reference`"
    read = json.loads(GOLDEN.read_text())
    assert read["schema_hash"] == layout.schema_hash()
    assert [packet["frame"] for packet in read["packets"]] == [frame.hex(" ") for frame in golden().values()]
    for packet in read["packets"]:
        found = decoded(bytes.fromhex(packet["frame"]))
        header = ("version", "kind", "opcode", "status", "seq", "session")
        assert [packet[name] for name in header] == [getattr(found, name) for name in header]


def test_there_is_an_example_of_every_message() -> None:
    headings = set(golden())
    assert headings == {
        f"{entry.opcode.name} {entry.kind.name.lower()} (0x{entry.opcode:02x})" for entry in TABLE
    } | {"A refusal"}
    assert set(EXAMPLES) == {entry.message for entry in TABLE}


@pytest.mark.parametrize(("heading", "frame"), golden().items(), ids=golden().keys())
def test_every_example_decodes_and_encodes_again(heading: str, frame: bytes) -> None:
    packet = decoded(frame)
    assert encode(packet) == frame
    if heading == "A refusal":
        assert (packet.status, packet.payload) == (messages.Status.LIMIT, b"")
        return
    match = SECTION.match("### " + heading)
    assert match is not None
    assert packet.kind == Kind[match["kind"].upper()]
    assert packet.opcode == messages.Opcode[match["opcode"]]
    message = layout.unpack(packet.kind, packet.opcode, packet.payload)
    assert layout.pack(message) == packet.payload


def content(frame: bytes) -> list[str]:
    """What the C program must print for a frame."""
    packet = decoded(frame)
    header = (packet.version, packet.kind, packet.opcode, packet.status, packet.seq, packet.session)
    lines = [" ".join(map(str, ("packet", *header, len(packet.payload))))]
    if packet.status == 0:
        message = layout.unpack(packet.kind, packet.opcode, packet.payload)
        for field in fields_of(type(message)):
            value = getattr(message, field.name)
            lines += [f"{field.name} {each}" for each in (value if field.per_axis else (value,))]
    return lines


def c_program() -> str:
    """A program that reads frames in hex, one a line, prints their content, and packs and encodes them again."""
    cases = []
    for entry in TABLE:
        fields = fields_of(entry.message)
        if not fields:
            continue
        name = f"pf_{snake(entry.message.__name__)}"
        prints = [
            f'printf("{field.name} %lld\\n", (long long)m.{field.name}{f"[{axis}]" if field.per_axis else ""});'
            for field in fields
            for axis in (range(3) if field.per_axis else (0,))
        ]
        cases.append(
            f"if (p.kind == {entry.kind} && p.opcode == {entry.opcode} && !p.status) {{ {name} m; "
            f"if ({name}_unpack(&m, p.payload, p.n_payload)) return 2; {' '.join(prints)} "
            f"p.n_payload = (uint8_t){name}_pack(&m, p.payload); }}"
        )
    return f"""
#include <stdio.h>
#include <string.h>
#include "parfocal_wire.h"
int main(void) {{
    char line[512];
    while (fgets(line, sizeof line, stdin)) {{
        uint8_t frame[PF_MAX_FRAME], again[PF_MAX_FRAME];
        int n = 0, used = 0;
        unsigned byte;
        for (char *at = line; sscanf(at, "%2x%n", &byte, &used) == 1; at += used) frame[n++] = (uint8_t)byte;
        pf_packet p;
        int failed = pf_decode(frame + 1, n - 2, &p);
        if (failed) {{ printf("damaged %d\\n", failed); continue; }}
        printf("packet %d %d %d %d %d %d %d\\n", p.version, p.kind, p.opcode, p.status, p.seq, p.session,
               p.n_payload);
        {chr(10).join(cases)}
        if (pf_encode(&p, again) != n || memcmp(again, frame, (size_t)n)) return 3;
    }}
    return PF_SCHEMA_HASH == 0x{layout.schema_hash():08X}u ? 0 : 4;
}}
"""


@pytest.fixture(scope="module")
def c_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("c")
    (folder / "parfocal_wire.h").write_text(header())
    (folder / "reader.c").write_text(c_program())
    strict = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic"]
    subprocess.run([compiler, *strict, "-o", folder / "reader", folder / "reader.c"], check=True)
    return folder / "reader"


def test_the_c_header_compiles_and_reads_the_golden_packets_alike(c_reader: Path) -> None:
    frames = list(golden().values())
    extremes = [
        encode(
            Packet(
                entry.kind,
                entry.opcode,
                0,
                65535,
                65535,
                bytes([0xFF]) * layout.payload_bytes(entry.message),
            )
        )
        for entry in TABLE
    ]
    signed = messages.MoveAbs(1, 7, (-1, -(2**31), 2**31 - 1), (0, 1, 2**32 - 1), (0, 0, 0))
    frames.append(encode(Packet(Kind.REQUEST, messages.Opcode.MOVE_ABS, 0, 1, 1, layout.pack(signed))))
    frames += [frame for frame in extremes if messages_fit_a_printf(frame)]
    asked = "".join(frame.hex() + "\n" for frame in frames)
    answer = subprocess.run([c_reader], input=asked, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [line for frame in frames for line in content(frame)]


def messages_fit_a_printf(frame: bytes) -> bool:
    """A u64 of all ones does not fit the long long that the program prints."""
    packet = decoded(frame)
    message: Message = layout.unpack(packet.kind, packet.opcode, packet.payload)
    return all(field.wire.type != "u64" for field in fields_of(type(message)))


def test_the_c_header_refuses_damage(c_reader: Path) -> None:
    frame = bytearray(golden()["MOVE_ABS request (0x10)"])
    frame[-3] ^= 0x40
    answer = subprocess.run([c_reader], input=frame.hex() + "\n", capture_output=True, text=True, check=True)
    assert answer.stdout == "damaged -2\n"
    answer = subprocess.run([c_reader], input="00ff010200\n", capture_output=True, text=True, check=True)
    assert answer.stdout == "damaged -1\n"
