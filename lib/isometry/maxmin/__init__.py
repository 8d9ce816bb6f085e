"""MaxMin networks, isometric almost everywhere (chapter 4)."""
