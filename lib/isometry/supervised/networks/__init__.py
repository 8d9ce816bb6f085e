"""Stacked networks: MLP, CNN and transformer."""
