"""A model as it is shipped: its contract, golden patches and artifacts."""
