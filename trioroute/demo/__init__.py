"""The packaged example endpoint and its tour."""
