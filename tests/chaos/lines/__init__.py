"""Tests of the lines between processes."""
