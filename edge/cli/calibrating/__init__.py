"""`parfocal calibrate`: its verbs, and all of them in the right order."""
