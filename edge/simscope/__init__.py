"""A microscope that is not there: optics, a virtual slide, a camera that sees the stub board's true position."""
