"""What workers are handed to route by."""
