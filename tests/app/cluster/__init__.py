"""Tests: tests/app/cluster."""
