"""`python -m parfocal.edge` is the command `parfocal`."""

from parfocal.edge.cli import main

main()
