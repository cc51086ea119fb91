"""Long runs with real processes, each with a make target of its own."""
