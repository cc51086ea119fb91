"""How good the queue and the scaling are: an ideal line beside them, and recorded traces."""
