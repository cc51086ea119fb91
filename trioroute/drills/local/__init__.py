"""Drills on the system that `trioroute up` runs on this machine: processes, sockets, disks."""
