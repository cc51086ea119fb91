"""Kubernetes: the fake API server against recorded exchanges, manifests, and the system on it."""
