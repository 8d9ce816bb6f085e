"""The measure of plasticity, dormant and dead units, ranks of features (chapter 1)."""
