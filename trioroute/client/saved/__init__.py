"""What a user keeps: named systems, settings and where each came from, and exports."""
