"""Whole frames of made samples through random instruments, in NumPy: what training data are made of."""
