"""Text as bytes: a string with one character for each byte of the text's UTF-8.

Delimiters, quotes and line breaks are the same in it, and Python handles it at the speed of ASCII, whatever
letters it holds; in an ordinary string one character beyond Latin-1 makes all others twice as wide. What
looks at letters (upper and lower case, white space) must look at the text itself.
"""


def as_text(octets: str) -> str:
    """The text of a string that holds it as bytes."""
    return octets if octets.isascii() else octets.encode("latin-1").decode()


def as_octets(text: str) -> str:
    """The inverse of as_text()."""
    return text if text.isascii() else text.encode().decode("latin-1")
