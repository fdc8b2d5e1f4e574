"""Declarative GitOps for AI chatbots: bots as YAML in git, reconciled onto a live API, and a runtime that answers."""

__version__ = "0.1.0"
