"""A stub board at the end of a cable with faults, for virtual time and for a process."""

from __future__ import annotations

import heapq
import itertools
import random
import re
from collections.abc import Callable

from parfocal.board.stub.faults import (
    AnyIncident,
    BoardStall,
    Damage,
    EstopPressed,
    Faults,
    HostStall,
    MissedSteps,
    Noise,
    Reboot,
    StuckSwitch,
    Unplug,
)
from parfocal.board.stub.stage.switches import Contact
from parfocal.board.stub.wired_board import WiredBoard

_FRAME = re.compile(rb"\0?[^\0]+\0?")
_AXES = ("x", "y", "z")


class _Way:
    """One direction of the cable."""

    def __init__(self, damage: Damage, draw: random.Random) -> None:
        self._damage = damage
        self._draw = draw
        self._held = b""
        self._is_sound = damage == Damage()

    def through(self, data: bytes) -> list[tuple[float, bytes]]:
        """What arrives of `data`: pieces, each with its delay in s."""
        if self._is_sound:
            return [(0.0, data)]
        return [arrived for frame in _FRAME.findall(data) for arrived in self._one(frame)]

    def _one(self, frame: bytes) -> list[tuple[float, bytes]]:
        damage, draw = self._damage, self._draw
        if draw.random() < damage.drop:
            return []
        if draw.random() < damage.flip:
            bit = draw.randrange(8 * len(frame))
            frame = frame[: bit // 8] + bytes([frame[bit // 8] ^ 1 << bit % 8]) + frame[bit // 8 + 1 :]
        if draw.random() < damage.truncate:
            frame = frame[: draw.randrange(len(frame))]
        if draw.random() < damage.noise:
            frame = draw.randbytes(draw.randint(1, damage.noise_bytes)) + frame
        if not self._held and draw.random() < damage.reorder:
            self._held = frame
            return []
        frame, self._held = frame + self._held, b""
        delay_s = draw.uniform(0.0, damage.delay_s) if draw.random() < damage.delay else 0.0
        n_copies = 2 if draw.random() < damage.duplicate else 1
        return [(delay_s, frame)] * n_copies


class FaultyStub:
    """The stub as its host sees it. It has no time of its own: every call passes the time."""

    def __init__(self, stub: WiredBoard, faults: Faults) -> None:
        self.stub = stub
        self.is_faultless = faults == Faults()
        self.plugs = 1  # how often it was plugged in; a port opened before the last time is dead
        self.is_plugged = True
        draw = random.Random(faults.seed)  # noqa: S311  # faults, not secrets
        self._draw = draw
        self._to_board, self._to_host = _Way(faults.to_board, draw), _Way(faults.to_host, draw)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._incidents = sorted(faults.incidents, key=lambda incident: incident.on_motion)
        self._out: list[tuple[float, int, bytes]] = []
        self._stalled_until_s = float("-inf")
        self._host_stall_s = 0.0
        self._schedule()

    @property
    def now_s(self) -> float:
        """Time advanced to."""
        return self.stub.machine.now_s

    def receive(self, data: bytes, time_s: float) -> None:
        """The host sends `data` at `time_s`."""
        self.advance(time_s)
        if not self.is_plugged:
            return
        for delay_s, arrived in self._to_board.through(data):
            due_s = max(time_s + delay_s, self._stalled_until_s)
            if due_s <= time_s:
                self._deliver(arrived)
            else:
                self._at(due_s, self._delivery(arrived))

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        while self._agenda and self._agenda[0][0] <= time_s:
            due_s, _, action = heapq.heappop(self._agenda)
            self.stub.advance(due_s)
            self._collect()
            action()
        self.stub.advance(time_s)
        self._collect()

    def take_output(self, time_s: float) -> list[bytes]:
        """What reaches the host's end up to `time_s`, in order."""
        arrived = []
        while self._out and self._out[0][0] <= time_s:
            arrived.append(heapq.heappop(self._out)[2])
        return arrived

    def take_host_stall_s(self) -> float:
        """How long the host has to stand still now, s."""
        stall_s, self._host_stall_s = self._host_stall_s, 0.0
        return stall_s

    def hold_up(self, stall_s: float) -> None:
        """Delay everything sent in either direction from now on until `stall_s` has passed."""
        if stall_s > 0.0:
            self._stalled_until_s = max(self._stalled_until_s, self.now_s + stall_s)

    def next_due_s(self) -> float:
        """When something next happens by itself, s."""
        due_s = min(self.next_output_s(), self.stub.machine.next_due_s())
        return min(due_s, self._agenda[0][0]) if self._agenda else due_s

    def next_output_s(self) -> float:
        """When the next frame reaches the host, s; infinity when none is on its way."""
        return self._out[0][0] if self._out else float("inf")

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError outside the history."""
        return self.stub.true_um(time_s)

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises as `true_um`."""
        return self.stub.lamp_duty(time_s)

    def _at(self, time_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time_s, next(self._order), action))

    def _delivery(self, data: bytes) -> Callable[[], None]:
        plugs = self.plugs
        return lambda: self._deliver(data) if self.plugs == plugs and self.is_plugged else None

    def _deliver(self, data: bytes) -> None:
        self.stub.receive(data, self.now_s)
        self._collect()
        self._schedule()

    def _collect(self) -> None:
        """Put what the stub has sent on its way to the host."""
        for sent_s, frame in self.stub.take_output():
            if self.is_plugged:
                for delay_s, arrived in self._to_host.through(frame):
                    self._send(max(sent_s, self._stalled_until_s) + delay_s, arrived)

    def _send(self, time_s: float, data: bytes) -> None:
        heapq.heappush(self._out, (time_s, next(self._order), data))

    def _schedule(self) -> None:
        """Schedule the incidents of the motions that have begun."""
        begun = self.stub.machine.motions_begun
        while self._incidents and self._incidents[0].on_motion <= begun:
            incident = self._incidents.pop(0)
            self._at(self.now_s + incident.after_s, lambda incident=incident: self._happen(incident))  # type: ignore[misc]

    def _happen(self, incident: AnyIncident) -> None:
        machine = self.stub.machine
        match incident:
            case Unplug():
                self._unplug(incident)
            case Reboot():
                self.stub.reboot()
            case BoardStall():
                self.hold_up(incident.stall_s)
            case HostStall():
                self._host_stall_s += incident.stall_s
            case Noise():
                self._send(self.now_s, self._draw.randbytes(incident.n_bytes))
                self._deliver(self._draw.randbytes(incident.n_bytes))
            case StuckSwitch():
                switches = machine.axes[_AXES.index(incident.axis)].switches
                setattr(switches, incident.switch, Contact(incident.contact))
            case MissedSteps():
                machine.axes[_AXES.index(incident.axis)].lose_steps(incident.n_steps)
            case EstopPressed():
                machine.press_estop(pressed=True)
                self._at(self.now_s + incident.pressed_s, lambda: machine.press_estop(pressed=False))

    def _unplug(self, incident: Unplug) -> None:
        self.is_plugged = False
        self._out.clear()
        if incident.reboots:
            self.stub.reboot()
        else:
            self.stub.decoder.reset()
        self._at(self.now_s + incident.gone_s, self._plug_in)

    def _plug_in(self) -> None:
        self._collect()  # sent while unplugged: lost
        self.is_plugged = True
        self.plugs += 1
