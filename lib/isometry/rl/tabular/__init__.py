"""Processes small enough to be solved exactly."""
