"""Recording what happened, without I/O."""
