"""Methods that act between two tasks."""
