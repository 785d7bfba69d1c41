"""What one picture tells by itself: exposure, faults of camera and lamp, and where its patches lie."""
