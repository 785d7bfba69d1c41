"""Which correction fits a model to an instrument, and what runs and stacks say about it."""
