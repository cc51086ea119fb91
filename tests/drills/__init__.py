"""Mirrors `trioroute/drills`."""
