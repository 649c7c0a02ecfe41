"""Our network in labelme's lists of models, which are written in its source."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from integrations.labelme.model import DISPLAY_NAME, NAME
from saywhere import SaywhereError

SINCE = "7.1"  # the version whose lists were read


def extend_lists() -> None:
    """Put our network first among labelme's models for clicks and boxes, and for texts.

    Call it before labelme's window is made.

    Raises:
        SaywhereError: this version of labelme keeps its lists elsewhere.
    """
    try:
        models: Any = importlib.import_module("labelme._ai_models")
        ours = models.AiAssistModelOption(model_name=NAME, display_name=DISPLAY_NAME, supports_point_prompts=True)
        others = tuple(each for each in models.AI_ASSIST_MODEL_OPTIONS if each.model_name != NAME)
        # Before the modules that take the list as it is when they are imported.
        models.AI_ASSIST_MODEL_OPTIONS = (ours, *others)
        texts = importlib.import_module("labelme._widgets._ai_text_to_annotation_widget").AiTextToAnnotationWidget
        texts._available_models = [(NAME, DISPLAY_NAME), *(each for each in texts._available_models if each[0] != NAME)]
        texts._default_model_name = NAME
    except ModuleNotFoundError as error:
        if error.name == "labelme":
            raise
        raise _unknown(error) from error
    except (ImportError, AttributeError, TypeError) as error:
        raise _unknown(error) from error


def _unknown(error: Exception) -> SaywhereError:
    reason = " ".join(str(error).split())
    return SaywhereError(
        f"labelme {version('labelme')}: its lists of models are not those of {SINCE} ({reason}); install labelme "
        f"{SINCE}"
    )
