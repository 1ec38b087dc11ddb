"""Labelled image sets, one file each, read in the layout in which they were published."""
