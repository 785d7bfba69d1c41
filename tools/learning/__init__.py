"""What training a model takes."""
