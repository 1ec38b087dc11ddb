"""Administers people, sites and tokens, by HTTP and by the program's verb `admin`."""
