"""Data, streams of tasks, stacked networks and their trainer (chapter 6)."""
