"""The world in which the whole system is simulated: a virtual clock, network and disks."""
