"""The claims of the paper, their criteria and the verdicts on them."""
