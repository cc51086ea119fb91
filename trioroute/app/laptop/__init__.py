"""What only `up` needs: keys for its user, the front-end processes, the drills of the demo."""
