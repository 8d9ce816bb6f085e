"""What the judges share: the protocol, streams of tasks, rows of a store."""
