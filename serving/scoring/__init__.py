"""From a study to its score, its findings and its key images."""
