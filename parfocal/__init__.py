"""parfocal: the software of a low-cost digital microscope."""

__version__ = "0.1.0"
