"""Tests: what must survive a crash."""
