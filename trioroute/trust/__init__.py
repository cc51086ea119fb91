"""Whose credentials are believed: keys and signed tokens, checked offline."""
