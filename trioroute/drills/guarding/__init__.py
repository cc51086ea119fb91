"""The guard, in whatever world: a process of its own that breaks something and mends it."""
