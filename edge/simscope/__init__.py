"""A simulated microscope: optics, a virtual slide, and a camera that sees the true position of the stub board."""
