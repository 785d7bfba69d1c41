"""Boards that do not speak our protocol: lines of text, one file a dialect, behind the same `Motor` and `Lamp`."""
