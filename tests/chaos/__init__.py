"""Tests of the suite that tests the system."""
