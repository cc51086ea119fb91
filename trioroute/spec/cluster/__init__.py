"""Azure's files on Kubernetes: which container a deployment runs in, and the custom resources."""
