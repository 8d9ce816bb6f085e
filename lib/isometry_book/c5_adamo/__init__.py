"""Chapter 5: AdamO."""
