"""What is cleared away from time to time: files and answers that nobody refers to any more."""
