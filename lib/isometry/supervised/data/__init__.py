"""Data sets: where they come from, how they are checked, read and found."""
