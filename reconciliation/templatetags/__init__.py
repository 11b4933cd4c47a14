"""What the reconciliation pages need of templates."""
