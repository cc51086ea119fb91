"""Tests: tests/spec/written."""
