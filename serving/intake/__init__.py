"""How images come in: files and folders, archives, HTTP uploads."""
