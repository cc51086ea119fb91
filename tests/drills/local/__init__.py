"""Mirrors `trioroute/drills/local`."""
