"""The empirical neural tangent kernel and its conditioning (chapter 2)."""
