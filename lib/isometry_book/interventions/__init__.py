"""Forks of worn networks, and deaths by training: what causes the loss."""
