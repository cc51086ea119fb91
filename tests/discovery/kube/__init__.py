"""Tests: tests/discovery/kube."""
