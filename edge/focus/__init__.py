"""Focus on one field: the rule, what feeds it, and the motions it asks for."""
