"""Tests: tests/admin/resources."""
