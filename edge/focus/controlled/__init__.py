"""The controller: no more shots than a field needs."""
