"""Phrases: words and their vectors."""
