"""service/operator/runs."""
