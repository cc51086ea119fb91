"""Mirrors `trioroute/drills/report`."""
