"""Durable storage of what a voter promised: terms, votes, entries and snapshots."""
