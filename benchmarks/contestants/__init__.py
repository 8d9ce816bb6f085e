"""The contestants: each in a process of its own, some in an environment too."""
