"""Tests: tests/cli/operate."""
