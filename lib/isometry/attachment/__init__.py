"""Every method on somebody's own model and optimiser."""
