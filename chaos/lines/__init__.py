"""Lines between the processes of a run, which can be made bad: by bytes, and by packets."""
