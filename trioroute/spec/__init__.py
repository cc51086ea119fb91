"""What users write: Azure ML's YAML, read with every error's place."""
