"""Tests: the system as `k8s/` installs it, end to end on a cluster; `make test-cluster` as well."""
