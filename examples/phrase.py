"""Say what the object is, with and without a click: ``python examples/phrase.py``."""

from __future__ import annotations

from pathlib import Path

import saywhere
from saywhere.annotate.sample_images import write_samples


def main() -> None:
    astronaut, chelsea, *_ = write_samples(Path("demo/images"))
    segmenter = saywhere.load()

    # A click is ambiguous: the hair or the whole person? A phrase decides.
    segmenter.set_image(astronaut)
    person = segmenter.click(225, 60)
    hair = segmenter.say("hair") or person
    print(f"click alone {person.array.sum():,} pixels, with 'hair' {hair.array.sum():,}")

    # A phrase alone finds the object, or says that it is not there.
    segmenter.set_image(chelsea)
    for phrase in ("cat", "bicycle"):
        proposal = segmenter.propose(phrase)
        if proposal.is_present:
            x, y = proposal.click.x, proposal.click.y
            print(f"{phrase}: at ({x:.0f}, {y:.0f}), {proposal.mask.array.sum():,} pixels")
        else:
            print(f"{phrase}: not in the image")


if __name__ == "__main__":
    main()
