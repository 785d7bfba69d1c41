"""How a command ends: exit codes, signals and crash reports."""
