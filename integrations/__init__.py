"""Saywhere in other people's tools: adapters only. See docs/integrations.md."""
