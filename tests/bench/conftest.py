"""Fixtures of the example documents."""

from ..example_documents import *  # noqa: F403
