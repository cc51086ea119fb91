"""Tests: tests/net."""
