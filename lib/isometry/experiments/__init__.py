"""Running, storing, reporting and judging experiments."""
