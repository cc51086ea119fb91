"""Verbs that operate a running system, in trioroute's own form."""
