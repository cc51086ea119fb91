"""Tests: tests/consensus."""
