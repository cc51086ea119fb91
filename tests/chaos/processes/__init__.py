"""Tests of the world of real processes."""
