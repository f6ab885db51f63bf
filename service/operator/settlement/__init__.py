"""service/operator/settlement."""
