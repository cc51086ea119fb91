"""The data plane: one request in, one answer out."""
