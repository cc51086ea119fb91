"""An inference router: exact concurrency limits across front-ends, through fail-over."""
