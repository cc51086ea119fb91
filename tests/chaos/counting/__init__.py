"""Tests of counting the tasks of other processes."""
