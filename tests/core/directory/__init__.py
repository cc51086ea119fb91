"""Tests: trioroute/core/directory."""
