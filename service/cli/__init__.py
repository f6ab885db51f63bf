"""The command line. A command imports what it needs when it runs, so a verifier needs neither server nor FHE."""

from atomic_margin.service.cli.main import main

__all__ = ["main"]
