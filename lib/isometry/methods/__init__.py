"""Every way of keeping a network plastic, as values in one registry."""
