"""Text of a design file from its content, for tests that change single keys."""

import json
import re


def toml_text(content):
    """`content`, as `tomllib` gave it, as TOML."""
    plain = {k: v for k, v in content.items() if not is_table(v)}
    rows = [f"{quoted(k)} = {value(v)}" for k, v in plain.items()]
    for key, item in content.items():
        if isinstance(item, dict):
            rows += [f"[{quoted(key)}]", *(f"{quoted(k)} = {value(v)}" for k, v in item.items())]
        elif is_table(item):
            for row in item:
                rows += [
                    f"[[{quoted(key)}]]",
                    *(f"{quoted(k)} = {value(v)}" for k, v in row.items()),
                ]
    return "\n".join(rows) + "\n"


def is_table(item):
    return isinstance(item, dict) or (
        isinstance(item, list) and bool(item) and all(isinstance(row, dict) for row in item)
    )


def quoted(key):
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)


def value(item):
    if isinstance(item, dict):
        return "{ " + ", ".join(f"{quoted(k)} = {value(v)}" for k, v in item.items()) + " }"
    if isinstance(item, list):
        return "[" + ", ".join(map(value, item)) + "]"
    if isinstance(item, bool):
        return str(item).lower()
    return json.dumps(item, ensure_ascii=False) if isinstance(item, str) else repr(item)


def places(content, where=()):
    """Where in `content` values stand that are neither tables nor lists of tables."""
    for key, item in content.items():
        if isinstance(item, dict):
            yield from places(item, (*where, key))
        elif is_table(item):
            for number, row in enumerate(item):
                yield from places(row, (*where, key, number))
        else:
            yield (*where, key)


def at(content, where):
    for key in where:
        content = content[key]
    return content
