"""Cameras, and frames with the time of their own exposure."""
