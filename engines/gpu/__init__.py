"""Models on a CUDA device."""
