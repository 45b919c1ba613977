"""`python -m cli` is `june`."""

from cli.main import main

main()
