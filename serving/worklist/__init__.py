"""The order in which waiting studies are read."""
