"""Drills: one fault on a running system, on purpose, undone whatever happens, and judged."""
