"""What a model is worth: errors by group and row, plots, the card."""
