"""A machine learning backend for Label Studio: ``python -m integrations.label_studio``. See docs/integrations.md."""
