"""The focal surface of a slide: points, a robust fit, files. Pure, but for reading and writing files."""
