"""One claim of the project per file: the docstring says it, the constants are its levels."""
