"""Tests: tests/spec/fields."""
