"""Tiles without a single focus, as on a fold: noticed, examined, and what they tell of those beside them."""
