"""Chapter 6: the supervised benchmark."""
