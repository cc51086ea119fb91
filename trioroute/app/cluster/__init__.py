"""A front-end on Kubernetes: pods as replicas, custom resources instead of writes to the log."""
