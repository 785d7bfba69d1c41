"""Training: recipe, start, state, losses, the fit of a head."""
