"""service/operator/store."""
