"""Mirrors `trioroute/app/host`."""
