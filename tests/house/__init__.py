"""Tests: tests/house."""
