"""The algorithm: pysyncobj's core behind one gate, and the pure rules around it."""
