"""Benches: each prints its figures beside what they are compared with, taken in the same run.

`make bench BENCH=proxy` runs `tests/bench/proxy.py`; ARGS are passed on. Nothing here asserts on a
time: a bench reports, and exits with 1 only when requests failed.
"""
