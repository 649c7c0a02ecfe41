"""``python -m saywhere.cli``."""

from saywhere.cli.main import main

main()
