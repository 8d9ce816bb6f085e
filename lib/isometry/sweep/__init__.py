"""Many runs: a grid of methods, settings and seeds, searched fairly."""
