"""Tests of `trioroute.app.routing`."""
