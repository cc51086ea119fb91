"""Tests: tests/demo."""
