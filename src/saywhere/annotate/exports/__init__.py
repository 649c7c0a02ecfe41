"""Annotations for other programs: which images, in which format, with a manifest. Imports point downwards.

versions.py     exports that are kept, and what changed between two
write.py        the file or the folder of an export
manifest.py     what an export holds, with hashes
licences.py     licences of imported images
options.py      what can be chosen
selection.py    which images are exported, and what is left out
"""
