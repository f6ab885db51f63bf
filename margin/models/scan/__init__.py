"""margin/models/scan."""
