"""Tests: tests/wire."""
