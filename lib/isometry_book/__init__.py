"""The book: one room a chapter, with its experiments, figures and judges."""
