"""Tests of trioroute.core.yardstick."""
