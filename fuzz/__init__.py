"""Fuzzing: damaged and hostile inputs, each of which must be read or end in a SaywhereError."""
