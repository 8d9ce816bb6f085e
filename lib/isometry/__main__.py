"""``python -m isometry`` is the command ``isometry``."""

from isometry.cli import main

main()
