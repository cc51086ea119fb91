"""Tests of the pods of a cluster as a world to drill."""
