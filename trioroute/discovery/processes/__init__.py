"""What the runner is made of: model servers as processes of this machine."""
