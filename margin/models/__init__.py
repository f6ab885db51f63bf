"""margin/models."""
