import codecs
import io
import warnings
import zipfile

import docx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from pipelines.errors import ParseError
from pipelines.parsing import ParsedDocument, parse
from pipelines.parsing.formats import FORMATS, media_type_for

TEXT_TYPES = ["text/plain", "text/markdown", "text/x-rst", "text/html"]
ALL_TYPES = [known.media_types[0] for known in FORMATS]
DOCX = media_type_for("x.docx")


def pdf_bytes(text="hello"):
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(72, 720, text)
    canvas.save()
    return out.getvalue()


def docx_bytes():
    out = io.BytesIO()
    document = docx.Document()
    document.add_paragraph("hello")
    document.save(out)
    return out.getvalue()


def words(document):
    return " ".join(block.text for section in document.sections for block in section.blocks)


@pytest.mark.parametrize("media_type", TEXT_TYPES)
def test_bytes_that_are_not_utf8_are_refused_with_their_offset(media_type):
    with pytest.raises(ParseError, match="byte offset 6 "):
        parse(b"hello \xff\xfe world", media_type)


def test_the_offset_counts_the_byte_order_mark():
    with pytest.raises(ParseError, match="byte offset 4 "):
        parse(codecs.BOM_UTF8 + b"a\xff", "text/plain")


@pytest.mark.parametrize("media_type", TEXT_TYPES)
def test_nul_bytes_are_refused_as_binary(media_type):
    with pytest.raises(ParseError, match="binary"):
        parse(b"PK\x03\x04\x00\x00", media_type)


@pytest.mark.parametrize("media_type", TEXT_TYPES)
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_is_believed(media_type, mark, encoding):
    assert words(parse(mark + "naïve Zürich".encode(encoding), media_type)) == "naïve Zürich"


def test_html_may_declare_its_charset():
    page = '<meta charset="iso-8859-1"><p>naïve'.encode("latin-1")
    assert words(parse(page, "text/html")) == "naïve"


@pytest.mark.parametrize("charset", ["zlib", "rot13", "punycode", "no-such", "unicode_escape"])
def test_html_may_not_declare_a_codec_that_is_no_charset(charset):
    with pytest.raises(ParseError, match="unknown charset"):
        parse(f'<meta charset="{charset}"><p>x'.encode(), "text/html")


@pytest.mark.parametrize("media_type", TEXT_TYPES)
@pytest.mark.parametrize("content", [b"", b" \n\t \r\n", codecs.BOM_UTF8])
def test_a_document_without_text_is_empty(media_type, content):
    with pytest.raises(ParseError, match="is empty"):
        parse(content, media_type, title="given")


def test_an_html_page_of_scripts_alone_is_empty():
    with pytest.raises(ParseError, match="is empty"):
        parse(b"<title>t</title><script>var x</script><style>p{}</style><!-- c -->", "text/html")


def test_an_empty_pdf_page_and_an_empty_docx_are_empty():
    blank = io.BytesIO()
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.write(blank)
    with pytest.raises(ParseError, match="is empty"):
        parse(blank.getvalue(), "application/pdf")
    out = io.BytesIO()
    docx.Document().save(out)
    with pytest.raises(ParseError, match="is empty"):
        parse(out.getvalue(), DOCX)


def test_a_document_over_the_limit_is_refused_before_it_is_parsed():
    with pytest.raises(ParseError, match="more than the limit of 9"):
        parse(b"0123456789", "text/plain", max_bytes=9)
    assert words(parse(b"0123456789", "text/plain", max_bytes=10)) == "0123456789"


def test_an_unknown_media_type_is_refused():
    with pytest.raises(ParseError, match="image/png"):
        parse(b"x", "image/png")


def encrypted(user_password):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_bytes("secret text"))))
    writer.encrypt(user_password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_that_needs_a_password_is_refused():
    with pytest.raises(ParseError, match="is encrypted"):
        parse(encrypted("password"), "application/pdf")


def test_a_pdf_that_anyone_can_open_is_read():
    assert words(parse(encrypted(""), "application/pdf")) == "secret text"


@pytest.mark.parametrize("media_type", ["application/pdf", DOCX])
@pytest.mark.parametrize("content", [b"not at all", b"%PDF-1.4\n%%EOF", b"PK\x03\x04 cut short"])
def test_corrupt_files_are_refused_with_their_cause(media_type, content):
    with pytest.raises(ParseError) as caught:
        parse(content, media_type)
    assert caught.value.__cause__ is not None


def test_a_zip_that_is_no_docx_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(ParseError, match="corrupt DOCX"):
        parse(out.getvalue(), DOCX)


def test_a_docx_that_unpacks_without_bound_is_refused(monkeypatch):
    monkeypatch.setattr("pipelines.parsing.docx._MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ParseError, match="would unpack to"):
        parse(docx_bytes(), DOCX)


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        ("text/markdown", b"> " * 3000 + b"x"),
        ("text/x-rst", b"".join(b" " * i + b"x\n\n" for i in range(600))),
    ],
)
def test_nesting_beyond_the_parser_is_an_error_and_loses_nothing_in_silence(media_type, content):
    with pytest.raises(ParseError, match="nested too deeply"):
        parse(content, media_type)


def test_html_nested_thousands_deep_is_read():
    assert words(parse(b"<div>" * 5000 + b"deep", "text/html")) == "deep"


def is_document_or_error(content, media_type, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            document = parse(content, media_type)
        except ParseError:
            pass
        else:
            assert isinstance(document, ParsedDocument)
            assert document.sections
            for section in document.sections:
                for text in (*section.heading_path, *(block.text for block in section.blocks)):
                    assert text.strip()
                    assert "\x00" not in text
                    text.encode("utf-8")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.mark.parametrize("media_type", ALL_TYPES)
@FUZZ
@given(content=st.binary(max_size=400))
def test_any_bytes_give_a_document_or_a_parse_error(media_type, content, capfd):
    is_document_or_error(content, media_type, capfd)


@pytest.mark.parametrize("media_type", TEXT_TYPES)
@FUZZ
@given(
    content=st.text(
        alphabet=st.sampled_from("ab \n\t:.*`_|<>[]()#=-+&;!\\{}~^/\"'0\u00e9\u2028\x0b\x1c"), max_size=300
    )
)
@example(content="PEP: 1\nTitle: x\n\n.. |a| unicode:: 0xD800\n\n|a|")
@example(content="&#0; &#xD800; a")
@example(content="http://x")
def test_any_markup_gives_a_document_or_a_parse_error(media_type, content, capfd):
    is_document_or_error(content.encode(), media_type, capfd)


@pytest.mark.parametrize(("media_type", "whole"), [("application/pdf", pdf_bytes()), (DOCX, docx_bytes())])
@settings(FUZZ, max_examples=60)
@given(data=st.data())
def test_damaged_files_give_a_document_or_a_parse_error(media_type, whole, data, capfd):
    content = bytearray(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))])
    for _ in range(data.draw(st.integers(0, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    is_document_or_error(bytes(content), media_type, capfd)
