"""Methods that take the step themselves, and plain training."""
