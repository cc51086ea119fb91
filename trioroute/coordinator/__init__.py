"""The control plane of the elected front-end: slots, probes, scaling."""
