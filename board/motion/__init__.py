"""Motion in whole steps, pure: gears, speed profiles, walks."""
