"""Verbs about a system as a whole: which one is meant, what it holds, and whether it is well."""
