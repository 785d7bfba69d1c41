"""How a long task reports what it is doing."""

from collections.abc import Callable

# Called with a few words each time. The caller decides where they are shown.
Report = Callable[[str], None]
