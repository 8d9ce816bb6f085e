"""What each of torch's operations does to the units in its arguments."""

# Imported for the rules that they register.
from isometry.attachment.operations import functions, moving, places, readers
from isometry.attachment.operations.rules import follow

__all__ = ["follow", "functions", "moving", "places", "readers"]
