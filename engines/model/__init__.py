"""A model on disk: its contract, its golden patches and its forms."""
