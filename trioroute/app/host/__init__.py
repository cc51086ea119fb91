"""What this machine gives us: processes, sockets to listen on, and the way to our peers."""
