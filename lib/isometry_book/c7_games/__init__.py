"""Chapter 7: reinforcement learning."""
