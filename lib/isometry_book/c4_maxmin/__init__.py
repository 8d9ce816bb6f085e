"""Chapter 4: MaxMin networks."""
