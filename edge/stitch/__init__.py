"""Tiles of a scan become one picture: registration, positions, illumination, seams. Pure, but for loading tiles."""
