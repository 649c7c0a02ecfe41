"""Masks for a whole folder from points, and the result in another format.

The same in a shell:

    saywhere prelabel demo/images --points demo/points.csv --out demo/labels.json
    saywhere convert demo/labels.json demo/labelme --to labelme --images demo/images
"""

from __future__ import annotations

import shutil
from pathlib import Path

from saywhere.annotate.sample_images import write_samples
from saywhere.data import formats
from saywhere.prelabel import prelabel, read_request

POINTS = """file,x,y,category
astronaut.jpg,220,330,person
chelsea.jpg,230,140,cat
coffee.jpg,310,180,cup
"""


def main() -> None:
    images, points, labels = Path("demo/images"), Path("demo/points.csv"), Path("demo/labels.json")
    write_samples(images)
    points.write_text(POINTS)
    result = prelabel(read_request(images, points), labels)  # run again after an interruption, it goes on
    print(f"{result.objects} objects → {labels}")
    converted_folder = Path("demo/labelme")
    shutil.rmtree(converted_folder, ignore_errors=True)  # convert never overwrites
    converted = formats.convert(labels, converted_folder, "labelme", images=images)
    print(f"{converted.objects} objects → {converted_folder}")


if __name__ == "__main__":
    main()
