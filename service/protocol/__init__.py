"""service/protocol."""
