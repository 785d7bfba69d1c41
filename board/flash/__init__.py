"""Puts the firmware onto a Raspberry Pi Pico in boot mode."""
