"""One study: its images, what was found in them, and how they are shown."""
