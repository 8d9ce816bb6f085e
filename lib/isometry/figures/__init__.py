"""Drawings of stored records, in one style."""
