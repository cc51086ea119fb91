"""Tests: tests/discovery."""
