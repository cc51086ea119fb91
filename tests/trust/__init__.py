"""Tests of `trioroute.trust`."""
