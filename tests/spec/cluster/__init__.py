"""Tests: tests/spec/cluster."""
