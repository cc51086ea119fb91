"""Tests of `trioroute.core.guards`."""
