"""Runs, their store, and what is read from it: choices, comparisons, reports."""
