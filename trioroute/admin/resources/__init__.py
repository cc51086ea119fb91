"""Endpoints and deployments through the admin API: made, changed, deleted, their keys."""
