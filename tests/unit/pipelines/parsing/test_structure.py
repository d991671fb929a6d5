import io

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

from pipelines.parsing import Block, Section, parse
from pipelines.parsing.formats import media_type_for

DOCX = media_type_for("x.docx")


def outline(document):
    return {section.heading_path: [(b.kind, b.text) for b in section.blocks] for section in document.sections}


def test_plain_text_is_paragraphs_between_blank_lines():
    document = parse(b"one\r\ntwo\r\n\r\n \t\r\n  three\n", "text/plain")
    assert document.title == ""
    assert document.sections == (
        Section((), (Block("paragraph", "one\ntwo"), Block("paragraph", "  three"))),
    )


@pytest.mark.parametrize("media_type", ["text/plain", "text/x-rst"])
def test_a_pep_is_titled_by_its_header(media_type):
    pep = b"PEP: 8\nTitle: Style Guide\n  for Code\nStatus: Active\n\n\nAbstract\n========\n\nText.\n"
    document = parse(pep, media_type)
    assert document.title == "PEP 8 \u2013 Style Guide for Code"
    text = "\n".join(block.text for section in document.sections for block in section.blocks)
    assert "Status: Active" in text
    assert "Text." in text


def test_the_given_title_goes_before_the_documents_own():
    assert parse(b"# Own\n\ntext", "text/markdown", "  Given\ntitle ").title == "Given title"
    assert parse(b"# Own\n\ntext", "text/markdown", "  ").title == "Own"


MARKDOWN = b"""# Guide

Intro with *emphasis*, `code`, a [link](http://x) and
a second line.

## Install

- one
- two
  - nested

1. first

```python
def f():

    return 1
```

| a | b |
|---|---|
| 1 | 2 |

> said *so*

## Empty

## Last <b>one</b>

<div><p>raw <b>html</b></p><script>no()</script></div>
"""


def test_markdown():
    document = parse(MARKDOWN, "text/markdown")
    assert document.title == "Guide"
    assert outline(document) == {
        ("Guide",): [("paragraph", "Intro with emphasis, code, a link and a second line.")],
        ("Guide", "Install"): [
            ("list", "- one\n- two\n  - nested"),
            ("list", "1. first"),
            ("code", "def f():\n\n    return 1"),
            ("table", "a | b\n1 | 2"),
            ("quote", "said so"),
        ],
        ("Guide", "Empty"): [],
        ("Guide", "Last one"): [("paragraph", "raw html")],
    }


def test_markdown_front_matter_gives_the_title_and_is_no_heading():
    document = parse(b"---\ntitle: 'From the front'\ntags: [x]\n---\n# H\n\ntext", "text/markdown")
    assert document.title == "From the front"
    assert [section.heading_path for section in document.sections] == [(), ("H",)]


RST = b"""Guide
=====

Intro with *emphasis*, ``code``, a `link <http://x>`_ and |sub|. [#note]_

.. |sub| replace:: substituted

Part
----

* one
* two

  more

term
    meaning

::

    literal

>>> 1 + 1
2

===  ===
a    b
===  ===
1    2
===  ===

    quoted

.. code-block:: python
   :caption: unknown to docutils

   x = 1

.. note:: Mind the gap.

.. c:function:: int PyFoo(void)

   Returns :c:type:`int`; see :pep:`8` and :ref:`the *other* <other>` or :py:func:`~os.path.join`.

   .. deprecated:: 3.2
      Use ``bar``.

.. comment here

.. include:: /etc/passwd

.. raw:: html

   <b>raw</b>

.. [#note] The note.
"""


def test_restructuredtext():
    document = parse(RST, "text/x-rst")
    assert document.title == "Guide"
    assert outline(document) == {
        ("Guide",): [("paragraph", "Intro with emphasis, code, a link and substituted. [note]")],
        ("Guide", "Part"): [
            ("list", "- one\n- two\n  more"),
            ("list", "term\n    meaning"),
            ("code", "literal"),
            ("code", ">>> 1 + 1\n2"),
            ("table", "a | b\n1 | 2"),
            ("quote", "quoted"),
            ("code", "x = 1"),
            ("paragraph", "Mind the gap."),
            ("paragraph", "int PyFoo(void)"),
            ("paragraph", "Returns int; see PEP 8 and the *other* or os.path.join."),
            ("paragraph", "3.2 Use bar."),
            ("paragraph", "[note] The note."),
        ],
    }


def test_a_role_that_a_document_defines_does_not_reach_the_next():
    from docutils.parsers.rst import directives, roles

    known = dict(roles._roles)
    parse(
        b".. role:: pep(emphasis)\n.. role:: mine\n.. default-role:: mine\n\n`a` :mine:`b` :pep:`8`",
        "text/x-rst",
    )
    assert roles._roles == known
    assert "mine" not in directives._directives
    assert outline(parse(b":pep:`8`", "text/x-rst")) == {(): [("paragraph", "PEP 8")]}


def test_restructuredtext_reads_no_file(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    table, raw = (f".. {name}\n   :file: {secret}\n\n" for name in ("csv-table::", "raw:: html"))
    document = parse(f".. include:: {secret}\n\n{table}{raw}end\n".encode(), "text/x-rst")
    assert "the secret" not in str(document)
    assert "end" in str(document)


def test_a_very_long_restructuredtext_line_is_read_in_linear_time():
    document = parse(b"`a *b " * 20_000, "text/x-rst")
    assert len(document.sections[0].blocks[0].text) > 100_000


HTML = b"""<!doctype html><html><head><title>Page &amp; title</title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><div role="navigation">Menu</div>
<h1>Top</h1>Loose <b>bold</b>text<br>second<p>Para<script>no()</script>graph
<ul><li>one<li>two<ul><li>nested</ul></ul>
<pre>a
  b</pre>
<blockquote><p>said</blockquote>
<h2>Data</h2><table><tr><th>a<th>b<tr><td>1<td>2</table>
<table><tr><td><h2>In a layout table</h2><p>text</td></tr></table>
<!-- gone --><img alt="a picture">
</body></html>"""


def test_html():
    document = parse(HTML, "text/html")
    assert document.title == "Page & title"
    assert outline(document) == {
        ("Top",): [
            ("paragraph", "Loose boldtext\nsecond"),
            ("paragraph", "Paragraph"),
            ("list", "- one\n- two\n  - nested"),
            ("code", "a\n  b"),
            ("quote", "said"),
        ],
        ("Top", "Data"): [("table", "a | b\n1 | 2")],
        ("Top", "In a layout table"): [("paragraph", "text"), ("paragraph", "a picture")],
    }


def test_html_without_a_title_has_that_of_its_first_heading():
    assert parse(b"<h1>Only <i>heading</i></h1><p>x", "text/html").title == "Only heading"
    assert parse(b"<h3>Banner</h3><h1>Real</h1><p>x", "text/html").title == "Real"


def test_pdf():
    out = io.BytesIO()
    style = getSampleStyleSheet()["Normal"]
    template = SimpleDocTemplate(out, title="PDF title")
    template.build(
        [Paragraph("First page words.", style), PageBreak(), Paragraph("Second page words.", style)]
    )
    document = parse(out.getvalue(), "application/pdf")
    assert document.title == "PDF title"
    assert outline(document) == {
        (): [("paragraph", "First page words."), ("paragraph", "Second page words.")]
    }


def docx_of(build, title=""):
    document = docx.Document()
    document.core_properties.title = title
    build(document)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def build_docx(document):
    document.add_heading("Chapter", 1)
    document.add_paragraph("Some ").add_run("bold").bold = True
    document.add_paragraph("one", style="List Bullet")
    document.add_paragraph("two", style="List Number")
    document.add_heading("Inner", 2)
    document.add_paragraph("said", style="Quote")
    table = document.add_table(2, 2)
    for cell, text in zip((c for row in table.rows for c in row.cells), "ab12", strict=True):
        cell.text = text
    inserted = (
        f"<w:p {nsdecls('w')}><w:ins><w:r><w:t>inserted </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
    )
    text = "<w:p><w:r><w:t>in a control</w:t></w:r></w:p>"
    control = f"<w:sdt {nsdecls('w')}><w:sdtContent>{text}</w:sdtContent></w:sdt>"
    for xml in (inserted, control):
        document.element.body.insert(len(document.element.body) - 1, parse_xml(xml))


def test_docx():
    document = parse(docx_of(build_docx, "DOCX title"), DOCX)
    assert document.title == "DOCX title"
    assert outline(document) == {
        ("Chapter",): [("paragraph", "Some bold"), ("list", "- one\n- two")],
        ("Chapter", "Inner"): [
            ("quote", "said"),
            ("table", "a | b\n1 | 2"),
            ("paragraph", "inserted"),
            ("paragraph", "in a control"),
        ],
    }


def test_docx_without_metadata_has_the_title_of_its_first_heading():
    assert parse(docx_of(build_docx), DOCX).title == "Chapter"
    assert parse(docx_of(lambda d: d.add_heading("Named", 0) and d.add_paragraph("x")), DOCX).title == "Named"
