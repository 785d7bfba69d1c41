"""The stub's mechanics: motors, gears, the true stage and its switches."""
