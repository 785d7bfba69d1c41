"""The stub as a process of its own, and where programs find it."""
