"""A stub motor board: the protocol of a real board over mechanics fed only by time-stamped step edges.

It runs in virtual time (`virtual_bench.VirtualBench`) and as a process of its own on a pty
(`process.run_stub`). TRUE positions are told on a side channel, never on the wire. What goes wrong is data
(`faults`): frames damaged by chance, and incidents at a moment of a motion.

Modelled: trapezoid profiles, play of every axis, steps lost beyond a torque curve, periodic error of the lead
screw, drift while it warms up, a damped swing after the last edge, limit switches with hysteresis, bounce and
contacts that stick, hard stops, motors that fall to a full step and sag when they are switched off, the
board's travel limits, jogs, homing on the board, e-stop, sessions, the reply cache, the watchdog, lamp with
on-time and strobe, reboots, a cable that is pulled.

NOT modelled: inertia and load (a step is lost or made, a motor that falls out of step stays out for that edge
only and not for a whole electrical period), resonance while a motor runs, play that changes with load or
temperature, stiction, coupling between axes, tilt, drift that turns back, swing while moving, wear. The upper
switch does not bounce. Switches sense the stage without lead error and drift. A contact that sticks does so
for motions that begin after it, as the path of a motion is known the moment it begins. The lamp has no rise
time. Deceleration after STOP or watchdog loses no steps. The board's clock runs exactly as the host's. USB
latency is a constant in virtual time and that of the pty in a process; a pty knows no baud rate, no overrun,
no USB reset, and no permissions that come late. Board and host stalls do not stretch a frame in two.
"""
