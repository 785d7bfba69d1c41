"""How far a model errs on stacks."""
