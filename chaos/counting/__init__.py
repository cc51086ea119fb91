"""What front-ends of a run are started with, so that their Trio tasks can be counted."""
