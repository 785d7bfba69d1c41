"""Focus on many fields, one after the other."""
