import subprocess
import sys
from pathlib import PurePosixPath

import pytest

from pipelines.parsing import PARSER_VERSION, media_type_for
from pipelines.parsing.formats import FORMATS, format_for


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("a/b/README.md", "text/markdown"),
        ("notes.TXT", "text/plain"),
        ("pep-0008.rst", "text/x-rst"),
        ("index.html", "text/html"),
        ("index.htm", "text/html"),
        ("paper.pdf", "application/pdf"),
        ("x.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("archive.tar.gz", None),
        ("Makefile", None),
        (".md", None),
    ],
)
def test_a_suffix_stands_for_a_media_type_that_has_a_parser(path, media_type):
    assert media_type_for(path) == media_type
    assert media_type_for(PurePosixPath(path)) == media_type
    assert media_type is None or format_for(media_type) is not None


def test_every_format_has_a_parser():
    for known in FORMATS:
        assert callable(known.parser())


def test_media_type_parameters_are_ignored():
    assert format_for("Text/HTML; charset=utf-8") is format_for("text/html")


def test_importing_the_registry_imports_no_parser_library():
    code = (
        "import sys; import pipelines.parsing, pipelines.parsing.formats;"
        "heavy = {'bs4', 'lxml', 'docutils', 'markdown_it', 'pypdf', 'docx', 'torch', 'dagster'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_names_every_library():
    for library in ("beautifulsoup4", "docutils", "lxml", "markdown-it-py", "pypdf", "python-docx"):
        assert f"{library}=" in PARSER_VERSION
