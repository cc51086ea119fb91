"""Tests: the algorithm and the rules around it."""
