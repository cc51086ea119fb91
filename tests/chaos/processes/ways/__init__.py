"""Tests of the ways to do faults to real processes."""
