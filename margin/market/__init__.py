"""margin/market."""
