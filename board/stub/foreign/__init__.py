"""Stand-ins for foreign boards: their public protocols over the stub's mechanics, in virtual time or on a pty.

Modelled: lines, replies, realtime characters, settings, states and alarms as far as the host uses them; ramps, play,
switches and homing by the mechanics of the stub; restarts, an unplugged cable, and lines damaged on the way.

NOT modelled: the planner's look-ahead and its step timing, overrides, work coordinates, tools, an overrun of a serial
buffer, the stop without a ramp in which Grbl ends a homing leg.
"""
