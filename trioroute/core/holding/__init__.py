"""The holder's side of the slots: what one worker may start, and who waits in it."""
