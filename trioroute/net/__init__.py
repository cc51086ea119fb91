"""Trio and sockets, without HTTP."""
