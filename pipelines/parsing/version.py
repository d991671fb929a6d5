"""The parser's version, as it stands in a generation's build configuration."""

from __future__ import annotations

from importlib.metadata import version

# Raise it whenever the same bytes give other sections, blocks or titles.
_REVISION = 1

_LIBRARIES = ("beautifulsoup4", "docutils", "lxml", "markdown-it-py", "pypdf", "python-docx")

PARSER_VERSION = f"{_REVISION};" + ";".join(f"{name}={version(name)}" for name in _LIBRARIES)
