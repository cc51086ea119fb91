"""How each kind of fault is done to real processes, and undone."""
