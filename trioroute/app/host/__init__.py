"""What this machine gives us: processes, and sockets to listen on."""
