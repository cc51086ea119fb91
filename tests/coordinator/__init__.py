"""Tests: tests/coordinator."""
