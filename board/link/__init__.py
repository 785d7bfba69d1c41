"""A session with a board over any transport. No request is lost and none acts twice."""
