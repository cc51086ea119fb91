"""Tests: tests/telemetry."""
