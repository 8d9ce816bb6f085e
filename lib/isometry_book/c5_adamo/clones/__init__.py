"""Chapter 5: units that are copies of each other, under the pull and in training."""
