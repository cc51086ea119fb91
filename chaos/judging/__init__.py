"""What a history is held to, and what comes of it: rules, excuses, levels, figures. All pure."""
