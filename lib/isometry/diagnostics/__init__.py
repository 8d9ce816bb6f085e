"""One look at a network's health."""
