"""Proximal policy optimisation for stacks of agents."""
