"""``python -m atomic_margin`` is the command `atomic-margin`."""

from atomic_margin.service.cli import main

main()
