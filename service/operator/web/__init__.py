"""service/operator/web."""
