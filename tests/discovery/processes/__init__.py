"""Tests: tests/discovery/processes."""
