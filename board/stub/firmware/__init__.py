"""The board's firmware, compiled for this machine and run in virtual time in place of the stub's own board."""
