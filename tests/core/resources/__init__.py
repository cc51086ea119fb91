"""Tests of `trioroute.core.resources`."""
