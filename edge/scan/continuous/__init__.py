"""Scan rows of tiles while the stage does not stop: the board triggers camera and flash by position."""
