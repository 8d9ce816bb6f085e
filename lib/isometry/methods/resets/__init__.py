"""Methods that replace units."""

from isometry.moved import names_of

__getattr__ = names_of("isometry.methods.resets")
