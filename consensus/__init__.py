"""Raft on Trio: an independent library around the core of pysyncobj."""
