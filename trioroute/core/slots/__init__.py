"""The slots: who may start a request where, on both sides of the slot link."""
