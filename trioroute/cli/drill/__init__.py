"""`trioroute drill`: rehearse a failure on a running system."""
