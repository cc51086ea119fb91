"""Tests: tests/chaos/pods."""
