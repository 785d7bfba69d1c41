"""Keeps a drifting sample in focus."""
