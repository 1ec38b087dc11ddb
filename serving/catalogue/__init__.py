"""The models there are: listed, shown, checked, and calibrated anew on a hospital's own images."""
