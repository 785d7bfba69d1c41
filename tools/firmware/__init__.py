"""What is generated for the board: C header, protocol reference, shipped image, wiring."""
