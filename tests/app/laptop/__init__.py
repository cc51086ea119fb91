"""Mirrors `trioroute/app/laptop`."""
