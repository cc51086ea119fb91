"""What both sides of the slot link share: messages, masks of slots, times, homes."""
