"""service/verifier."""
