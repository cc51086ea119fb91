"""Tests: tests/proxy."""
