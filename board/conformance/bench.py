"""A board on the bench: addressed packet by packet, with session and seq of one's own choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from parfocal.board.clock import PacedClock
from parfocal.board.conformance.report import PromiseBroken
from parfocal.board.errors import BoardNotFound, LinkTimeout
from parfocal.board.link.transport import Transport
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, Message, MoveResult, Opcode, Status
from parfocal.board.wire.packet import Packet, StreamDecoder, encode

ANSWER_S = 0.05  # PROTOCOL.md, "How fast a board answers": 10 ms on the board, the rest is the host's
OPENING_S = 5.0  # a board may restart when its port opens
_OPENING_RETRY_S = 0.25
_BEAT_S = 0.1
_ROUNDING_S = 1e-9  # a wait this short may end before the clock has moved
MOTION_MS, IDLE_MS = (
    1000,
    5000,
)  # the watchdog of this run: if it is killed, motion and light end by themselves
SLACK_S = 2.0

M = TypeVar("M", bound=Message)


def require(is_kept: bool, found: str) -> None:
    """Raises PromiseBroken with what was `found` unless the promise is kept."""
    if not is_kept:
        raise PromiseBroken(found)


class Bench:
    """One board. Every method raises BoardNotFound when its port is gone, and PromiseBroken."""

    def __init__(self, open_port: Callable[[], Transport], clock: PacedClock) -> None:
        """Open the port. Nothing is sent before `open_session`."""
        self._open_port = open_port
        self.clock = clock
        self.transport = open_port()
        self.decoder = StreamDecoder()
        self.events: list[Packet] = []
        self.session = 0
        self.seq = 1000
        self.nonce = int(clock.now_s() * 1e6) & 0xFFFFFFFF
        self.move_id = 0
        self.hello = messages.HelloReply(0, 0, 0, 0, (0, 0, 0), (0, 0, 0), 0, 0, 0, 0, 0)
        self.limits = messages.Limits((0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0))
        self.pull_out = messages.PullOut((0, 0, 0), (0, 0, 0))

    # --- bytes and packets

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transport.write(data)

    def hear(self, duration_s: float, until: Callable[[Packet], bool] | None = None) -> list[Packet]:
        """What the board sends for `duration_s`, or until a packet fulfils `until`. Events are kept as well."""
        heard: list[Packet] = []
        deadline_s = self.clock.now_s() + duration_s * self.clock.speed
        while True:
            left_s = (deadline_s - self.clock.now_s()) / self.clock.speed
            data = self.transport.read(max(left_s, 0.0))
            for packet in self.decoder.feed(data):
                heard.append(packet)
                if packet.kind == Kind.EVENT:
                    self.events.append(packet)
            if (until is not None and any(map(until, heard))) or left_s <= _ROUNDING_S:
                return heard

    def request(self, message: Message, **header: int) -> Packet:
        """A request, under the next seq unless `header` says otherwise."""
        self.seq = (self.seq + 1) & 0xFFFF
        fields = {"seq": self.seq, "session": self.session, **header}
        return Packet(Kind.REQUEST, layout.opcode_of(message), 0, payload=layout.pack(message), **fields)

    def answer(self, request: Packet, within_s: float = ANSWER_S) -> Packet:
        """Send a request once; return its response."""
        self.send(encode(request))
        asked = request.seq, request.opcode

        def is_answer(packet: Packet) -> bool:
            return packet.kind == Kind.RESPONSE and (packet.seq, packet.opcode) == asked

        found = [packet for packet in self.hear(within_s, is_answer) if is_answer(packet)]
        name = _opcode_name(request.opcode)
        require(len(found) > 0, f"{name} got no answer within {within_s * 1000:.0f} ms")
        return found[0]

    def ask(self, message: Message, **header: int) -> Packet:
        """Send a request; return its response."""
        return self.answer(self.request(message, **header))

    def get(self, message: Message, reply: type[M]) -> M:
        """Send a request that is not refused; return what it answers."""
        response = self.ask(message)
        require_status(response, Status.OK)
        try:
            found = layout.unpack(response.kind, response.opcode, response.payload)
        except (KeyError, ValueError) as error:
            raise PromiseBroken(f"the answer to {_opcode_name(response.opcode)}: {error}") from error
        if not isinstance(found, reply):
            raise PromiseBroken(f"the answer to {_opcode_name(response.opcode)} is {found}")
        return found

    # --- session

    def open_session(self, within_s: float = ANSWER_S) -> Packet:
        """Open a new session; return the answer to HELLO."""
        self.nonce = (self.nonce + 1) & 0xFFFFFFFF
        hello = messages.Hello(self.nonce, layout.schema_hash(), 1, 1)
        response = self.answer(self.request(hello, session=0), within_s)
        require_status(response, Status.OK)
        try:
            found = layout.unpack(response.kind, response.opcode, response.payload)
        except ValueError as error:
            raise PromiseBroken(f"the answer to HELLO: {error}") from error
        if not isinstance(found, messages.HelloReply):
            raise PromiseBroken(f"the answer to HELLO is {found}")
        self.session, self.hello = response.session, found
        return response

    def first_session(self) -> None:
        """Open a session with a board that may still be starting. Raises LinkTimeout."""
        deadline_s = self.clock.now_s() + OPENING_S * self.clock.speed
        while self.clock.now_s() < deadline_s:
            with contextlib.suppress(PromiseBroken):
                self.open_session(_OPENING_RETRY_S)
                return
        raise LinkTimeout(
            f"no board answered HELLO in {OPENING_S:.0f} s. `parfocal status` says what was heard instead."
        )

    def reopen(self) -> None:
        """Close the port and open it again."""
        self.transport.close()
        deadline_s = self.clock.now_s() + OPENING_S * self.clock.speed
        while self.clock.now_s() < deadline_s:
            with contextlib.suppress(BoardNotFound):
                self.transport = self._open_port()
                self.decoder.reset()
                return
            self.clock.sleep_s(_BEAT_S * self.clock.speed)
        raise PromiseBroken(f"the port was not back {OPENING_S:.0f} s after it was closed")

    # --- state

    def state(self) -> messages.State:
        """Everything that changes."""
        return self.get(messages.StateRequest(), messages.State)

    def calm(self) -> None:
        """Stop what moves, turn the light off, clear faults, arm the watchdog; wait for rest."""
        self.open_session()
        for message in (
            messages.Stop(),
            messages.Lamp(0),
            messages.Watchdog(MOTION_MS, IDLE_MS),
            messages.Clear(0xFFFF),
        ):
            self.ask(message)
        self.rest()
        self.move_id = max(self.move_id, self.state().last_move_id)
        self.events.clear()

    def rest(self, within_s: float = 10.0) -> messages.State:
        """Wait until nothing moves, and feed the watchdog; return the state."""
        deadline_s = self.clock.now_s() + within_s * self.clock.speed
        while (state := self.state()).moving:
            require(self.clock.now_s() < deadline_s, f"axes {AxisBit(state.moving)!r} still move")
            self.hear(_BEAT_S / 2)
        return state

    # --- motion

    def next_move_id(self) -> int:
        """An id larger than every one before it."""
        self.move_id += 1
        return self.move_id

    def move(
        self, axis: int, target_steps: int, speed_steps_per_s: int, accel_steps_per_s2: int
    ) -> messages.MoveAbs:
        """A move of one axis that is not sent yet."""
        x, y, z = ((1, 0, 0), (0, 1, 0), (0, 0, 1))[axis]
        return messages.MoveAbs(
            self.next_move_id(),
            1 << axis,
            (x * target_steps, y * target_steps, z * target_steps),
            (x * speed_steps_per_s, y * speed_steps_per_s, z * speed_steps_per_s),
            (x * accel_steps_per_s2, y * accel_steps_per_s2, z * accel_steps_per_s2),
        )

    def begin(self, message: messages.MoveAbs | messages.Sweep | messages.Home) -> None:
        """Request a motion, which is accepted."""
        require_status(self.ask(message), Status.OK)

    def end(self, move_id: int, within_s: float, beats: bool = True) -> messages.MoveDone:
        """The MOVE_DONE of a motion; `beats`: feed the watchdog in the meantime."""
        deadline_s = self.clock.now_s() + (within_s + SLACK_S) * self.clock.speed
        while self.clock.now_s() < deadline_s:
            for event in self.events:
                if event.opcode == Opcode.MOVE_DONE:
                    done = layout.unpack(event.kind, event.opcode, event.payload)
                    if isinstance(done, messages.MoveDone) and done.move_id == move_id:
                        return done
            if beats:
                self.ask(messages.Ping())
            self.hear(_BEAT_S, lambda packet: packet.opcode == Opcode.MOVE_DONE)
        raise PromiseBroken(f"no MOVE_DONE of motion {move_id} within {within_s + SLACK_S:.1f} s")


def require_status(response: Packet, *expected: Status) -> None:
    """Raises PromiseBroken when a response has none of the `expected` statuses, or a payload beside a refusal."""
    names = " or ".join(status.name for status in expected)
    found = f"{_opcode_name(response.opcode)} was answered {_status_name(response.status)}, expected {names}"
    require(response.status in expected, found)
    require(
        response.status == Status.OK or response.payload == b"",
        f"{_opcode_name(response.opcode)} was refused with a payload of {len(response.payload)} bytes",
    )


def require_result(done: messages.MoveDone, expected: MoveResult) -> None:
    """Raises PromiseBroken when a motion has ended otherwise."""
    require(
        done.result == expected, f"the motion ended {_result_name(done.result)}, expected {expected.name}"
    )


def require_faults(state: messages.State, expected: Fault) -> None:
    """Raises PromiseBroken when other faults are set."""
    require(state.faults == expected, f"the faults are {state.faults:#x}, expected {int(expected):#x}")


def _opcode_name(opcode: int) -> str:
    return Opcode(opcode).name if opcode in set(Opcode) else f"opcode {opcode:#04x}"


def _status_name(status: int) -> str:
    return Status(status).name if status in set(Status) else f"status {status}"


def _result_name(result: int) -> str:
    return MoveResult(result).name if result in set(MoveResult) else f"result {result}"
