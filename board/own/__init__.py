"""Motors and lamp of our own board, over the link."""
