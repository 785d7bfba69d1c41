"""Write the reference part of board/PROTOCOL.md from the message table: `python -m tools.firmware.protocol_reference`.

The text above the mark is written by hand. The hex lines are the golden packets, which tests decode and encode in
Python and in C. They are also in board/golden_packets.json, for programs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec

from parfocal.board.wire import layout, messages
from parfocal.board.wire.layout import fields_of
from parfocal.board.wire.messages import (
    PROTOCOL_VERSION,
    AxisBit,
    Kind,
    Message,
    Status,
)
from parfocal.board.wire.packet import Packet, encode
from parfocal.board.wire.table import CODES, TABLE, Entry

DOCUMENT = Path(__file__).parents[2] / "board" / "PROTOCOL.md"
GOLDEN = DOCUMENT.with_name("golden_packets.json")
MARK = "<!-- From here on written by `python -m tools.firmware.protocol_reference`: edit the table, not this. -->\n"

_MOVE_TARGET = (0, 0, 1600)
EXAMPLES: dict[type[Message], Message] = {
    messages.Hello: messages.Hello(0x1234ABCD, 0, PROTOCOL_VERSION, PROTOCOL_VERSION),
    messages.HelloReply: messages.HelloReply(
        0x1234ABCD, 0, 0xC0FFEE01, 7, (0, 0, 0), (60000, 20000, 16000), 1, 31, 7, 64, 0
    ),
    messages.Ping: messages.Ping(),
    messages.Pong: messages.Pong(81_000_250),
    messages.StateRequest: messages.StateRequest(),
    messages.State: messages.State(
        81_000_900, (8000, 4000, 1600), 12, 5000, 0, 3, 25, 2, 0, 7, 7, 0, -80_000
    ),
    messages.Watchdog: messages.Watchdog(250, 2000),
    messages.LimitsRequest: messages.LimitsRequest(),
    messages.Limits: messages.Limits(
        (16000, 16000, 6400), (160000, 160000, 320000), (800, 800, 640), (800, 800, 640)
    ),
    messages.PullOutRequest: messages.PullOutRequest(),
    messages.PullOut: messages.PullOut((24000, 24000, 12800), (160000, 160000, 320000)),
    messages.Clear: messages.Clear(messages.Fault.ESTOP | messages.Fault.LIMIT_SWITCH),
    messages.MoveAbs: messages.MoveAbs(12, AxisBit.Z, _MOVE_TARGET, (0, 0, 3200), (0, 0, 80000)),
    messages.Home: messages.Home(13, AxisBit.Z, 1600, 160, 80000),
    messages.Stop: messages.Stop(),
    messages.Estop: messages.Estop(),
    messages.Motors: messages.Motors(AxisBit.X | AxisBit.Y | AxisBit.Z),
    messages.MoveDone: messages.MoveDone(81_550_000, 12, (8000, 4000, 1600), 0, 2),
    messages.Lamp: messages.Lamp(5000, 60000),
    messages.Strobe: messages.Strobe(3, 25, 100_000, 200, 1000, 10000),
    messages.Frame: messages.Frame(81_700_000, 3, 4),
    messages.WayPoint: messages.WayPoint(1, 19_200, 8016, 51, 80_000),
    messages.Sweep: messages.Sweep(4712, AxisBit.Y, 28_400, 4890, 60_000, 2),
    messages.PositionTrigger: messages.PositionTrigger(4, AxisBit.X, 8000, 420, 40, 0, 14, 10000),
    messages.LensRequest: messages.LensRequest(),
    messages.Lens: messages.Lens(-250_000, 250_000),
    messages.SetCurrent: messages.SetCurrent(-80_000),
    messages.Ack: messages.Ack(),
}


def golden_packets() -> list[tuple[Entry, Packet]]:
    """Return one packet for every row of the table, and one refusal."""
    packets = []
    n_requests = n_events = 0
    for entry in TABLE:
        n_requests += entry.kind is Kind.REQUEST
        n_events += entry.kind is Kind.EVENT
        message = EXAMPLES[entry.message]
        if isinstance(message, messages.Hello | messages.HelloReply):
            values = {name: getattr(message, name) for name in message.__struct_fields__}
            message = type(message)(**{**values, "schema_hash": layout.schema_hash()})
        # A HELLO request has no session yet; its response assigns one.
        session = 0 if entry.message is messages.Hello else 0xEE02
        # A response has the seq of its request, the row before it. Events have their own count.
        seq = n_events if entry.kind is Kind.EVENT else 0x00FF + n_requests
        packets.append((entry, Packet(entry.kind, entry.opcode, 0, seq, session, layout.pack(message))))
    refused = next(entry for entry in TABLE if entry.message is messages.MoveAbs)
    asked = next(packet for entry, packet in packets if entry is refused)
    answer = Entry(refused.opcode, Kind.RESPONSE, messages.Ack)
    packets.append((answer, Packet(Kind.RESPONSE, refused.opcode, Status.LIMIT, asked.seq, asked.session)))
    return packets


def reference() -> str:
    """Return the reference part."""
    lines = [
        f"Protocol version {PROTOCOL_VERSION}, schema hash `{layout.schema_hash():08x}`.",
        "",
        "## Messages",
        "",
        "`[3]`: one value each for x, y, z. Responses without fields are plain acknowledgements; responses",
        "with a status other than OK carry no fields.",
    ]
    packets = golden_packets()
    for entry, packet in packets[:-1]:
        lines += ["", f"### {entry.opcode.name} {entry.kind.name.lower()} (0x{entry.opcode:02x})", ""]
        lines += [(entry.message.__doc__ or "").strip().replace("\n    ", "\n"), ""]
        fields = fields_of(entry.message)
        if fields:
            lines += ["| field | type | unit | meaning |", "|---|---|---|---|"]
            for field in fields:
                wire = field.wire
                count = "[3]" if field.per_axis else ""
                lines.append(f"| {field.name} | {wire.type}{count} | {wire.unit} | {wire.meaning} |")
            lines.append("")
        lines.append(f"`{encode(packet).hex(' ')}`")
    refused = packets[-1][1]
    lines += [
        "",
        "### A refusal",
        "",
        "MOVE_ABS response with status LIMIT.",
        "",
        f"`{encode(refused).hex(' ')}`",
    ]
    lines += ["", "## Codes", ""]
    for codes in CODES:
        title = codes.__name__
        lines += [f"### {title}", "", "| code | name |", "|---|---|"]
        lines += [f"| {code.value} | {code.name} |" for code in codes]
        lines.append("")
    return "\n".join(lines)


def golden_json() -> str:
    """Return the golden packets for programs: header, fields by name, and the frame in hex."""
    packets = []
    for entry, packet in golden_packets():
        is_refusal = packet.status != Status.OK
        message = messages.Ack() if is_refusal else layout.unpack(packet.kind, packet.opcode, packet.payload)
        packets.append(
            {
                "name": f"{entry.opcode.name} {'refusal' if is_refusal else entry.kind.name.lower()}",
                "version": packet.version,
                "kind": packet.kind,
                "opcode": packet.opcode,
                "status": packet.status,
                "seq": packet.seq,
                "session": packet.session,
                "fields": msgspec.to_builtins(message),
                "frame": encode(packet).hex(" "),
            }
        )
    head = {"protocol_version": PROTOCOL_VERSION, "schema_hash": layout.schema_hash()}
    lines = ",\n".join("    " + json.dumps(packet) for packet in packets)
    return json.dumps(head)[:-1] + ', "packets": [\n' + lines + "\n]}\n"


def main() -> int:
    """Write the reference part below the mark, and the golden packets."""
    prose, found, _ = DOCUMENT.read_text().partition(MARK)
    if not found:
        print(f"{DOCUMENT} has no mark; nothing written. Put this line where the reference begins: {MARK}")
        return 1
    DOCUMENT.write_text(prose + MARK + "\n" + reference())
    GOLDEN.write_text(golden_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
