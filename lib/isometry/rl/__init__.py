"""Continual reinforcement learning (chapter 7)."""
