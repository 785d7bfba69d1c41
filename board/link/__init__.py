"""A session with a board over any transport: nothing is lost and nothing acts twice."""
