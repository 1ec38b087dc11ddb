"""Who saw and did what: a trail that cannot be altered unnoticed, checked, exported and kept."""
