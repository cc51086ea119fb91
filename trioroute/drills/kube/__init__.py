"""The pods of a Kubernetes cluster as a world to drill."""
