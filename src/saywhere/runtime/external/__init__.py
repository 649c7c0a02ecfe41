"""Models of other projects as runtimes: exports of SAM's family, and checkpoints of RITM's.

See docs/external-models.md.
"""
