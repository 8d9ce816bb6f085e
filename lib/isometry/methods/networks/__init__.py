"""Methods that change the network before it is built."""
