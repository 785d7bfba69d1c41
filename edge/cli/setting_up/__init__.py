"""`parfocal init`: finds the parts of an instrument, asks for what it cannot know, and writes the configuration."""
