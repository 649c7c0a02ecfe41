"""Label Studio's labeling configuration: which controls there are, and which labels they have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

from saywhere.errors import SaywhereError

MAX_CHARACTERS = 1_000_000  # of a configuration
OUTPUTS = {"brush": "BrushLabels", "polygon": "PolygonLabels", "rectangle": "RectangleLabels"}
LABEL_CONTROLS = (*OUTPUTS.values(), "KeyPointLabels")


@dataclass(frozen=True)
class Control:
    """A control with labels.

    Attributes:
        tag: for example ``BrushLabels``.
        name: its name, ``from_name`` in results.
        to_name: the name of the image.
        labels: by the text that results hold (the alias where there is one), the label's value.
    """

    tag: str
    name: str
    to_name: str
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The type of its results, for example ``brushlabels``."""
        return self.tag.lower()

    def stored(self, value: str) -> str | None:
        """The text that results of this control hold for a label's value; None without such a label."""
        return next((stored for stored, each in self.labels.items() if each == value), None)


@dataclass(frozen=True)
class LabelConfig:
    """What the backend needs of a configuration.

    Attributes:
        image: the name of the first ``Image``.
        key: under which tasks have its address.
        controls: those with labels on this image, in order.
    """

    image: str
    key: str
    controls: tuple[Control, ...]

    def output(self, shape: str | None = None) -> Control:
        """The control that predictions are for: brushes before polygons before rectangles.

        Args:
            shape: a key of :data:`OUTPUTS`, which then comes first.

        Raises:
            SaywhereError: there is none.
        """
        tags = sorted(OUTPUTS, key=lambda each: each != shape)
        for tag in (OUTPUTS[each] for each in tags):
            for control in self.controls:
                if control.tag == tag:
                    return control
        raise SaywhereError(f"label config: no {' or '.join(OUTPUTS.values())} on image '{self.image}'; add one")

    def value_of(self, control: str, stored: str) -> str:
        """The value of a label from the text that a control's results hold."""
        return next((each.labels.get(stored, stored) for each in self.controls if each.name == control), stored)


def parse_config(text: object) -> LabelConfig:
    """Read a labeling configuration.

    Args:
        text: the XML.

    Raises:
        SaywhereError: it is no such XML, or has no ``Image`` that shows a field of the tasks.

    Example:
        >>> brush = '<BrushLabels name="b" toName="i"><Label value="cat"/></BrushLabels>'
        >>> config = parse_config(f'<View><Image name="i" value="$photo"/>{brush}</View>')
        >>> config.key, config.output().name
        ('photo', 'b')
    """
    root = _parse(text)
    images = [each for each in root.iter("Image") if each.get("name")]
    if not images:
        raise SaywhereError('label config: no Image with a name; add <Image name="image" value="$image"/>')
    name, value = images[0].get("name", ""), images[0].get("value") or ""
    if not value.startswith("$") or len(value) < 2:
        raise SaywhereError(
            f"label config: value={value!r} of Image '{name}'; give a field of the tasks, such as $image"
        )
    return LabelConfig(name, value[1:], tuple(_controls(root, name)))


def _parse(text: object) -> ElementTree.Element:
    if not isinstance(text, str) or not text.strip():
        raise SaywhereError("label config: missing; save the project's labeling interface first")
    # A configuration needs no document type, whose entities can expand without end.
    if len(text) > MAX_CHARACTERS or "<!DOCTYPE" in text:
        raise SaywhereError(f"label config: has a DOCTYPE, or more than {MAX_CHARACTERS:,} characters; remove it")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise SaywhereError(f"label config: not XML ({' '.join(str(error).split())})") from error


def _controls(root: ElementTree.Element, image: str) -> Iterator[Control]:
    for element in root.iter():
        if element.tag in LABEL_CONTROLS and element.get("name") and image in (element.get("toName") or "").split(","):
            given = [(each.get("alias"), each.get("value") or "") for each in element.iter("Label")]
            labels = {alias or value: value for alias, value in given if value}
            yield Control(element.tag, element.get("name", ""), image, labels)
