"""A stub motor board: the protocol of a real board over mechanics fed only by time-stamped step edges.

It runs in virtual time (`virtual_bench.VirtualBench`) and as a separate process on a pty (`process.run_stub`).
TRUE positions are available on a side channel, never on the wire. What goes wrong is data (`faults`): frames
damaged at random, and incidents at a given moment of a motion.

Modelled: trapezoid profiles, play of every axis, steps lost beyond a torque curve, periodic error of the lead
screw, drift while it warms up, a damped swing after the last edge, limit switches with hysteresis, bounce and
sticking contacts, hard stops, motors that fall to a full step and sag when they are switched off, the
board's travel limits, jogs, homing on the board, e-stop, sessions, the reply cache, the watchdog, lamp with
on-time and strobe, reboots, an unplugged cable.

NOT modelled: inertia and load (a step is either lost or made; a motor out of step loses single edges, not a whole
electrical period), resonance while a motor runs, play that changes with load or
temperature, stiction, coupling between axes, tilt, drift that reverses, swing while moving, wear. The upper
switch does not bounce. Switches sense the stage without lead error and drift. A sticking contact
affects motions that begin later, because the path of a motion is computed when it begins. The lamp has no rise
time. Deceleration after STOP or watchdog loses no steps. The board's clock runs exactly like the host's. USB
latency is a constant in virtual time, and that of the pty in a process. A pty has no baud rate, no overrun, no USB
reset, and no permissions that arrive late. Stalls of board and host do not split a frame.
"""
