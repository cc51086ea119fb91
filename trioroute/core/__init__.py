"""Pure decisions: no clock, no sockets, no randomness, no trio."""
