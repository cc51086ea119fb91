"""How programs talk to the admin API; imports no trio."""
