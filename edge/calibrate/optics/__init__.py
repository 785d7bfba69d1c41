"""Stacks of the user's own slide, and the models that are fitted to them."""
