"""Chapter 2: the neural tangent kernel."""
