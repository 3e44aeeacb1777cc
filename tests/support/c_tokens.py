"""What a C compiler sees of a text: trigraphs replaced, lines joined, comments gone. Shares nothing
with the package."""

import re

_TRIGRAPHS = dict(zip("=/'()!<>-", "#\\^[]|{}~", strict=True))
_TOKEN = re.compile(
    r"/\*(?s:.*?)\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|[A-Za-z_]\w*|[\w.]+|\S"
)


def tokens(text):
    """The tokens of a text after translation phases 1 to 3, without comments."""
    text = re.sub(r"\?\?([=/'()!<>-])", lambda found: _TRIGRAPHS[found[1]], text)
    text = re.sub(r"\\[ \t]*\n", "", text)
    return [token for token in _TOKEN.findall(text) if not token.startswith(("/*", "//"))]
