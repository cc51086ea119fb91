"""Tests of what `trioroute doctor` looks at in a cluster."""
