"""Fixtures of these tests."""

from tests.discovery.shared_runtime import runtime_python, runtimes

__all__ = ["runtime_python", "runtimes"]
