"""Image files: formats, sizes and pixel types."""
