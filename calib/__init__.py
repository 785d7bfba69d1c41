"""Measured facts of one instrument, and the store that they are kept in."""
