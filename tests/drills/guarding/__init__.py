"""Tests of the guard, in whatever world."""
