"""What `trioroute drill` needs of a cluster: its API, its front-ends' ports, and a guard."""
