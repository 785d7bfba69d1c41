"""Training: examples, recipe, state, losses, plots and tables."""
