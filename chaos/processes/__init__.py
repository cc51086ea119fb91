"""The world of real processes: front-ends, replicas and the lines between them, on this machine."""
