"""Chapter 3: deep linear networks."""
