"""Mutations of the motor board and its firmware, of the lens, and of calibrations."""
