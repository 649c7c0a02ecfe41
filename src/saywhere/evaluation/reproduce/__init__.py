"""The tables of the published papers at the scale of one machine: one definition a paper, one command."""
