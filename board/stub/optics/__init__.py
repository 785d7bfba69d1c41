"""The stub's lamp, camera triggers and tunable lens."""
