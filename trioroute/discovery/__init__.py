"""Which replicas exist, and how to change their number."""
