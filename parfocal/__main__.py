"""`python -m parfocal` is the command `parfocal`."""

from parfocal.edge.cli.app import main

main()
