"""The server of `make lab`: a chapter is saved in its one form, and so stays clean."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from press.text import on_saving

c = get_config()  # noqa: F821
c.ContentsManager.pre_save_hook = on_saving
