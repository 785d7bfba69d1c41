"""The curve of a tunable lens: its fit, and how the store keeps it."""
