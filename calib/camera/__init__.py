"""What a camera makes of a sample: response to light, processing, the size of a pixel. Pure fits."""
