"""The coordinator's side of the slots: who has which, who waits, who is next."""
