"""The Gram-deviation regulariser and AdamO (chapter 5)."""
