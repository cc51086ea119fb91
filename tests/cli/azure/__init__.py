"""Tests: tests/cli/azure."""
