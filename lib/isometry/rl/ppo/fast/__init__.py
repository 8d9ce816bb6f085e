"""The same step, faster: gradients written out, boards kept sparse."""
