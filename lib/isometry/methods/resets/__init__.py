"""Methods that replace units."""
