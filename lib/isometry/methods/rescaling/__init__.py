"""Methods that rescale or move whole weights after a step."""
