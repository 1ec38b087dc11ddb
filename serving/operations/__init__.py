"""What the service tells its operator: alive, ready, how much."""
