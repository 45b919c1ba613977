"""Composition roots: the only place that knows every adapter."""
