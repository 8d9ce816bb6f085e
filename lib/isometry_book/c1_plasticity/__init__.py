"""Chapter 1: what plasticity is, and its loss."""
