"""Load that is offered whatever becomes of it: numbered requests by several kinds of client."""
