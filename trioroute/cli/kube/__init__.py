"""Verbs and ways that need a Kubernetes cluster, or write down what one takes."""
