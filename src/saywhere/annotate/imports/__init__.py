"""Annotations from other programs into a project. Imports point downwards in this list.

from_path.py    what the command line calls
apply.py        adds what was planned, one step of undo for each image
plan.py         what would be added, and what is left out and why
duplicates.py   which objects are in the project already
matching.py     which image of the project a name in a file means
upload.py       a file or a ZIP, unpacked within limits; the annotations in it
status.py       what images are marked as
"""
