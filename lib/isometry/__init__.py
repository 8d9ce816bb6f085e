"""Plasticity by Isometry."""
