"""How long work tells what it is doing."""

from collections.abc import Callable

# Called with a few words each time; whoever is called decides where they are shown.
Report = Callable[[str], None]
