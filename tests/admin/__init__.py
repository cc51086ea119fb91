"""Tests: tests/admin."""
