"""Methods that pull weights somewhere: penalties in the loss, and AdamO."""
