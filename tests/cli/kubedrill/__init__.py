"""Tests of what `trioroute drill` needs of a cluster."""
