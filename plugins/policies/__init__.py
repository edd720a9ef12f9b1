"""Cache policies, one a file."""
