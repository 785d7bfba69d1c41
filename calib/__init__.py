"""Measured facts of one instrument, and the store for them."""
