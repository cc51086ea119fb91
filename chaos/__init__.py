"""Faults, worlds, checkers and drills."""
