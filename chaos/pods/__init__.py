"""The world of pods: the system as `k8s/` installs it, on a fake cluster or on any other."""
