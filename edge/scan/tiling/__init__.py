"""Scan a region of a slide tile by tile: plan, heights, pictures, journal, resume."""
