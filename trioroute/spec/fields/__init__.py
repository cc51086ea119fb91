"""How the fields of a file are read: positions, kinds of value, mappings with known fields."""
