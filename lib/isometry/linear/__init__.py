"""Deep linear networks: exact kernel and gradient-flow dynamics (chapter 3)."""
