"""Mutations of the product, a file per room, for `python -m tools.mutate`."""
