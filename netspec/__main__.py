"""`python -m netspec`: the command where its script is not on the path."""

from netspec.cli import main

main()
