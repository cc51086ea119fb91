"""What users operate: endpoints and deployments as resources of the replicated registry."""
