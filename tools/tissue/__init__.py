"""Textures of real tissue to synthesise from."""
