"""What one picture tells by itself: its sharpness, its faults, and the patches that go to a network."""
