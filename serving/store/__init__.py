"""What is kept: rows in a database, bytes as objects."""
