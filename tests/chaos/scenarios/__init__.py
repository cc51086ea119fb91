"""Tests of scenarios: those that are short enough run for real."""
