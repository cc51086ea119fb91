"""Claims about processes that are killed."""
