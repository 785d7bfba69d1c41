"""What was measured on a microscope, put to use: play, scale, corrections of its models."""
