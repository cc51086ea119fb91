"""Composition only: the process and nursery trees."""
