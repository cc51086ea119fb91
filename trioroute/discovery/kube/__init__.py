"""Kubernetes: pods as replicas, custom resources as the source of truth. Needs the `k8s` extra."""
