"""Tests: tests/spec."""
