"""What a trained model is, seen from outside."""
