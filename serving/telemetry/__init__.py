"""What the service tells those who run it: logs, figures, traces; never a patient's data."""
