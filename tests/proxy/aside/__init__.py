"""Tests of `trioroute.proxy.aside`."""
