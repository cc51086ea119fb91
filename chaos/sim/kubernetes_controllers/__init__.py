"""What a cluster's controller manager does, on the fake's objects."""
