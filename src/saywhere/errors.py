"""The one error a user can cause."""


class SaywhereError(ValueError):
    """Input that cannot be used.

    The text is one line: what was given, what was expected and what to do.
    The command line prints it without a trace and ends with code 2.
    """
