"""Annotations for other programs: which images, in which format, with a manifest.

write.py        the file or the folder of an export
selection.py    which images are exported, and what is left out
"""
