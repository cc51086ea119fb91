"""Guards: against guessed credentials, and against new versions that fail."""
