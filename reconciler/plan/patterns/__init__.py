"""Patterns as trees that mean the same in every engine: `re2` and `javascript` read them, routes reason with them."""
