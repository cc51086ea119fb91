"""Tests: tests/app."""
