"""What `trioroute doctor` looks at in a cluster."""
