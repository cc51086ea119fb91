"""Tests: trioroute/core/holding."""
