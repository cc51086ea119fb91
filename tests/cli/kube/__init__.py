"""Tests of what the command line does with a Kubernetes cluster."""
