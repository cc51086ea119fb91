"""Verbs about a system as a whole."""
