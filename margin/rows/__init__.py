"""margin/rows."""
