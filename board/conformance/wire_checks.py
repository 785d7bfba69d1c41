"""Frames, sessions, resends: nothing moves and no light is lit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import msgspec

from parfocal.board.conformance.bench import ANSWER_S, Bench, require, require_status
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, Opcode, Status
from parfocal.board.wire.packet import MAX_FRAME_BYTES, Packet, encode
from parfocal.board.wire.table import TABLE

GOLDEN = Path(__file__).resolve().parents[1] / "golden_packets.json"
_N_PINGS = 100
_CLOCK_S = 1.0
_CACHED = 8


def answers_hello(bench: Bench) -> None:
    """HELLO is answered with the board's table, its identity, and a session."""
    response = bench.open_session()
    hello = bench.hello
    require(response.version == messages.PROTOCOL_VERSION, f"the version of the answer is {response.version}")
    require(response.session != 0, "no session was granted: the message tables differ")
    require(hello.nonce == bench.nonce, "the nonce did not come back")
    require(hello.schema_hash == layout.schema_hash(), f"the schema hash is {hello.schema_hash:#010x}")
    require(hello.max_frame >= MAX_FRAME_BYTES, f"max_frame is {hello.max_frame}, needed {MAX_FRAME_BYTES}")
    require(0 < hello.axes <= 7, f"the axes are {hello.axes:#x}")


def states_sane_limits(bench: Bench) -> None:
    """Travel, caps, jogs and pull-out line are stated, and fit each other."""
    bench.limits = bench.get(messages.LimitsRequest(), messages.Limits)
    bench.pull_out = bench.get(messages.PullOutRequest(), messages.PullOut)
    for i, name in enumerate("xyz"):
        if not bench.hello.axes >> i & 1:
            continue
        travel = bench.hello.max_steps[i] - bench.hello.min_steps[i]
        jog_speed, speed = bench.limits.jog_steps_per_s[i], bench.limits.max_speed_steps_per_s[i]
        require(travel > 0, f"{name}: the travel is {travel} steps")
        require(0 < jog_speed <= speed, f"{name}: jogs at up to {jog_speed} steps/s, moves at up to {speed}")
        require(0 < bench.limits.jog_steps[i] <= travel, f"{name}: jogs of up to {bench.limits.jog_steps[i]}")
        require(bench.limits.max_accel_steps_per_s2[i] > 0, f"{name}: no acceleration is allowed")
        line = bench.pull_out.no_torque_steps_per_s[i], bench.pull_out.from_rest_steps_per_s2[i]
        require(min(line) > 0, f"{name}: the pull-out line is {line}")


def resent_hello_opens_one_session(bench: Bench) -> None:
    """The same nonce gets the same session, and nothing that was kept is forgotten."""
    session = bench.session
    ping = bench.request(messages.Ping())
    first = bench.answer(ping)
    again = messages.Hello(bench.nonce, layout.schema_hash(), 1, 1)
    response = bench.ask(again, session=0, seq=3)
    require(response.session == session, f"session {response.session} instead of {session}")
    require(bench.answer(ping) == first, "a reply that was kept before is forgotten")


def new_hello_ends_the_session(bench: Bench) -> None:
    """A new nonce gets another session; the one before is answered NO_SESSION."""
    before = bench.session
    bench.open_session()
    require(bench.session not in (0, before), f"the new session is {bench.session}, as the one before")
    require_status(bench.ask(messages.Ping(), session=before), Status.NO_SESSION)
    require_status(bench.ask(messages.Ping()), Status.OK)


def other_table_gets_no_session(bench: Bench) -> None:
    """HELLO with another schema hash is answered with session 0 and the board's hash; the session goes on."""
    other = messages.Hello(bench.nonce ^ 0x5555, layout.schema_hash() ^ 1, 1, 1)
    response = bench.ask(other, session=0)
    require(response.session == 0, f"session {response.session} was granted")
    found = layout.unpack(response.kind, response.opcode, response.payload)
    require(
        getattr(found, "schema_hash", 0) == layout.schema_hash(), "the board's own hash did not come back"
    )
    require_status(bench.ask(messages.Ping()), Status.OK)


def hello_is_never_stale(bench: Bench) -> None:
    """HELLO is accepted with any version, session and seq, and sets the base of seq."""
    bench.seq = 30000
    require_status(bench.ask(messages.Ping()), Status.OK)
    bench.seq = 4
    bench.nonce += 1
    hello = messages.Hello(bench.nonce, layout.schema_hash(), 1, 1)
    response = bench.ask(hello, version=9, session=12345)
    require(response.session != 0, "no session for a HELLO with an old seq, another version and session")
    bench.session = response.session
    require_status(bench.ask(messages.Ping()), Status.OK)


def golden_packets_are_understood(bench: Bench) -> None:
    """Every golden request is decoded: in a session that is not open it is answered NO_SESSION."""
    for golden in json.loads(GOLDEN.read_text())["packets"]:
        if golden["kind"] != Kind.REQUEST or golden["opcode"] in (Opcode.HELLO, Opcode.STOP, Opcode.ESTOP):
            continue  # HELLO opens a session, and the other two act without one
        if golden["session"] == bench.session:
            bench.open_session()
        header = {name: golden[name] for name in ("kind", "opcode", "status", "seq", "session")}
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in golden["fields"].items()}
        message = next(
            entry.message
            for entry in TABLE
            if (entry.kind, entry.opcode) == (golden["kind"], golden["opcode"])
        )
        packet = Packet(**header, payload=layout.pack(message(**fields)))
        require(encode(packet).hex(" ") == golden["frame"], f"golden_packets.json: {golden['name']}")
        response = bench.answer(packet)
        require_status(response, Status.NO_SESSION)
        require(response.session == golden["session"], "a refusal does not carry the session of its request")


def damage_is_ignored(bench: Bench) -> None:
    """Damaged frames, and frames that are no requests, get no answer; the first frame after noise is received."""
    draw = random.Random(1)  # noqa: S311  # noise, not a secret
    good = encode(bench.request(messages.Ping()))
    for at in range(2, len(good) - 1):
        flipped = bytes([good[at] ^ 0x10 or 1])
        heard = _heard(bench, good[:at] + flipped + good[at + 1 :])
        require(not heard, f"a frame with a wrong byte {at} was answered")
    for kind in (Kind.RESPONSE, Kind.EVENT, 0, 9):
        packet = msgspec.structs.replace(bench.request(messages.Ping()), kind=kind)
        require(not _heard(bench, encode(packet)), f"a frame of kind {int(kind)} was answered")
    for _ in range(20):
        bench.send(bytes(draw.randrange(256) for _ in range(200)))
        require_status(bench.ask(messages.Ping()), Status.OK)
    bench.send(b"\x05" * 1000)
    require_status(bench.ask(messages.Ping()), Status.OK)


def _heard(bench: Bench, data: bytes) -> list[Packet]:
    bench.send(data)
    return [packet for packet in bench.hear(0.01) if packet.kind == Kind.RESPONSE]


def answers_in_time(bench: Bench) -> None:
    """Every request is answered within 10 ms on the board; the limit here leaves the host its share."""
    longest_s = 0.0
    for _ in range(_N_PINGS):
        began_s = bench.clock.now_s()
        bench.ask(messages.Ping())
        longest_s = max(longest_s, (bench.clock.now_s() - began_s) / bench.clock.speed)
    require(longest_s <= ANSWER_S, f"an answer took {longest_s * 1000:.1f} ms")


def clock_counts_microseconds(bench: Bench) -> None:
    """`board_time_us` counts microseconds, to 1 %."""
    first = bench.get(messages.Ping(), messages.Pong).board_time_us
    began_s = bench.clock.now_s()
    bench.hear(_CLOCK_S)
    second = bench.get(messages.Ping(), messages.Pong).board_time_us
    passed_s = bench.clock.now_s() - began_s
    error = (second - first) / 1e6 / passed_s - 1.0
    require(abs(error) <= 0.01, f"its clock is off by {100 * error:+.2f} %")


def resend_gets_the_same_answer(bench: Bench) -> None:
    """A request that is sent again gets the same response, and is not carried out again."""
    request = bench.request(messages.Ping())
    first = bench.answer(request)
    bench.hear(0.02)
    require(bench.answer(request) == first, "a PING that was sent again got another time")


def eight_answers_are_kept(bench: Bench) -> None:
    """The last eight responses are kept; an older seq is STALE."""
    pings = [bench.request(messages.Ping()) for _ in range(_CACHED)]
    answers = [bench.answer(ping) for ping in pings]
    require([bench.answer(ping) for ping in pings] == answers, "not all of the last eight responses are kept")
    bench.ask(messages.Ping())
    require_status(bench.answer(pings[0]), Status.STALE)
    require_status(bench.ask(messages.Ping(), seq=(bench.seq - 500) & 0xFFFF), Status.STALE)


def refusals_of_frames_in_order(bench: Bench) -> None:
    """NO_SESSION, the kept response, STALE, UNKNOWN_OPCODE, BAD_PAYLOAD, in this order."""

    def status(session: int, seq: int, opcode: int, payload: bytes) -> Packet:
        return bench.answer(Packet(Kind.REQUEST, opcode, 0, seq & 0xFFFF, session, payload))

    seq, session = bench.seq + 10, bench.session
    require_status(status(session, seq, 0x3F, b"12"), Status.UNKNOWN_OPCODE)
    require_status(status(session, seq, 0x3F, b""), Status.UNKNOWN_OPCODE)
    require_status(status(session ^ 1, seq, 0x3F, b"12"), Status.NO_SESSION)
    require_status(status(session, seq - 5, 0x3F, b"12"), Status.STALE)
    require_status(status(session, seq + 1, Opcode.MOVE_ABS, b"12"), Status.BAD_PAYLOAD)
    require_status(status(session, seq + 1, Opcode.PING, b""), Status.STALE)
    bench.seq = seq + 1
    refused = bench.ask(messages.Ping(), version=2)
    require_status(refused, Status.NO_SESSION)
    require(refused.version == messages.PROTOCOL_VERSION, f"a refusal has version {refused.version}")
