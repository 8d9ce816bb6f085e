"""Training from task to task, for images and games: the one loop, and its state."""
