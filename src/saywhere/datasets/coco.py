"""The former place of :mod:`saywhere.data.datasets.coco`; it goes with the next release."""

from saywhere.data.datasets.coco import decode, encode, read_coco, read_coco_folder

__all__ = ["decode", "encode", "read_coco", "read_coco_folder"]
