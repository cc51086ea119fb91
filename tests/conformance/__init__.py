"""Tests: tests/conformance."""
