"""Tests: tests/client/shapes."""
