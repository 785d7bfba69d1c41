"""What engines cost, how far they err, and their INT8 scales."""
