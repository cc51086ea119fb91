"""What the fake refuses: rules of built-in kinds, schemas of custom resources and their CEL."""
