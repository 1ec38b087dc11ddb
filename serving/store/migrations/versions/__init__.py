"""One module a change of the tables; the first line of each says what changed."""
