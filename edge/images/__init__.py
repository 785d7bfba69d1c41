"""Images in files: formats, sizes and pixel types."""
