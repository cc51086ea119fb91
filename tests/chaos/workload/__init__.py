"""Tests of the load that is offered."""
