"""The operators' door: status, health, metrics and changes over HTTP."""
