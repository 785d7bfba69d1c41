"""A tunable lens as an axis: its drivers, its motor, and a board whose Z is the lens."""
