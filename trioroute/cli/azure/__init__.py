"""`online-endpoint` and `online-deployment`: az's verbs, flags and abbreviations."""
