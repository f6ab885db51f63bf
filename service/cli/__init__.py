"""The command line. A command imports what it needs when it runs, so a verifier needs neither web framework nor FHE.

The uppermost room: it may import every other, and nothing imports it.
"""

from atomic_margin.service.cli.main import main

__all__ = ["main"]
