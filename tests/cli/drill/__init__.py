"""Mirrors `trioroute/cli/drill`."""
