"""The one error a user can cause."""


class SaywhereError(ValueError):
    """Input that cannot be used.

    The text is one line: what was given, what was expected and what to do.
    The command line prints it without a trace and ends with code 2.
    """


class PhraseError(SaywhereError):
    """A phrase that is of no use: empty, too long, or of unknown words. Answers without it are not affected."""


class NoMapError(SaywhereError):
    """Asked of a network that understands phrases but cannot tell where one applies."""
