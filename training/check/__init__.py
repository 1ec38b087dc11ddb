"""What `firstread-train fit --check` says of a recipe and its data before anything is trained."""
