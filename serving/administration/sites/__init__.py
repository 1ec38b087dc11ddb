"""Sites by HTTP, and `firstread admin sites`."""
