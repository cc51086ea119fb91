"""Tests: tests/core/slots."""
