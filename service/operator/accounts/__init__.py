"""service/operator/accounts."""
