"""What users wrote, kept for later changes, and what their files said at that time."""
