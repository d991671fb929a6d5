from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.chunking import Chunker
from pipelines.chunking.context import context_lines
from pipelines.parsing import Block, ParsedDocument, Section

KINDS = st.sampled_from(["paragraph", "list", "code", "table", "quote"])
WORDS = st.one_of(
    st.sampled_from(
        ["the", "unaffable", "e.g.", "Fig.", "end.", "End!", "antidisestablishmentarianism", "\n", "|"]
    ),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.sampled_from([1, 90, 110, 700]).map(lambda length: "x" * length),
    st.sampled_from([2, 20, 150]).map(lambda length: "xq7/" * length),
    st.sampled_from([1, 9, 60]).map(lambda length: "漢" * length),
    st.sampled_from([1, 9, 400]).map(lambda length: " " * length),
)
TEXTS = st.builds(
    lambda words, separator, times: separator.join(words) * times,
    st.lists(WORDS, min_size=1, max_size=12),
    st.sampled_from([" ", "\n", "", ". "]),
    st.sampled_from([1, 1, 1, 5]),
).filter(str.strip)
HEADINGS = st.sampled_from(["Alpha", "Beta", "Gamma delta", "h" * 300, "Long heading of words " * 12])
SECTIONS = st.builds(
    Section,
    st.lists(HEADINGS, max_size=3).map(tuple),
    st.lists(st.builds(Block, KINDS, TEXTS), min_size=1, max_size=3).map(tuple),
)
DOCUMENTS = st.builds(
    ParsedDocument,
    st.one_of(st.just(""), HEADINGS, st.just("Title \n words")),
    st.lists(SECTIONS, min_size=1, max_size=4).map(tuple),
)
LIMITS = st.sampled_from([16, 24, 64, 256])
CHECKED = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def dense(text):
    return "".join(text.split())


def body(chunk, document):
    """The chunk without its context, of which a start is kept where it is long."""
    context = context_lines(document.title, chunk.heading_path)
    first, gap, rest = chunk.text.partition("\n\n")
    if gap and first and context.startswith(first):
        return rest
    return "" if context and context.startswith(chunk.text) else chunk.text


def is_subsequence(wanted, found):
    remaining = iter(found)
    return all(character in remaining for character in wanted)


@CHECKED
@given(document=DOCUMENTS, limit=LIMITS)
def test_no_chunk_exceeds_the_limit_as_the_model_counts(tokenizer, document, limit):
    chunks = Chunker(tokenizer, limit).chunk(document)
    assert chunks
    assert [chunk.tokens for chunk in chunks] == tokenizer.count([chunk.text for chunk in chunks])
    assert max(chunk.tokens for chunk in chunks) <= limit
    assert max(len(chunk.text) for chunk in chunks) <= 2 * 16 * limit
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.text == chunk.text.rstrip() and chunk.text for chunk in chunks)


@CHECKED
@given(document=DOCUMENTS, limit=LIMITS)
def test_nothing_is_lost_and_the_order_is_kept(tokenizer, document, limit):
    chunks = Chunker(tokenizer, limit).chunk(document)
    wanted = dense("".join(block.text for section in document.sections for block in section.blocks))
    found = dense("".join(body(chunk, document) for chunk in chunks))
    assert is_subsequence(wanted, found)


@CHECKED
@given(
    texts=st.lists(
        st.tuples(st.sampled_from(["paragraph", "list", "code", "quote"]), TEXTS), min_size=1, max_size=5
    )
)
def test_a_document_without_headings_and_tables_is_its_chunks_to_the_character(tokenizer, texts):
    blocks = tuple(Block(kind, text) for kind, text in texts)
    chunks = Chunker(tokenizer, 32).chunk(ParsedDocument("", (Section((), blocks),)))
    assert dense("".join(chunk.text for chunk in chunks)) == dense("".join(block.text for block in blocks))


@settings(CHECKED, max_examples=40)
@given(document=DOCUMENTS, limit=LIMITS)
def test_the_same_document_gives_the_same_chunks(tokenizer, document, limit):
    chunker = Chunker(tokenizer, limit)
    once = chunker.chunk(document)
    chunker.chunk(ParsedDocument("Another", (Section(("x",), (Block("code", "y = 1"),)),)))
    assert chunker.chunk(document) == once == Chunker(tokenizer, limit).chunk(document)


class CharacterTokenizer:
    """One token a character, and one more for a text with a 'b' after an 'a': counts do not add up."""

    name = "characters"
    special_tokens = 3

    def count(self, texts):
        return [3 + len(text) + ("b" in text.partition("a")[2]) for text in texts]

    def spans(self, text):
        return [(position, position + 1) for position in range(len(text))]


@CHECKED
@given(text=st.text(alphabet="ab .\n", min_size=1, max_size=400).filter(str.strip))
def test_the_limit_holds_where_counts_of_parts_do_not_add_up(text):
    tokenizer = CharacterTokenizer()
    document = ParsedDocument("", (Section((), (Block("paragraph", text),)),))
    chunks = Chunker(tokenizer, 24).chunk(document)
    assert all(count <= 24 for count in tokenizer.count([chunk.text for chunk in chunks]))
    assert dense("".join(chunk.text for chunk in chunks)) == dense(text)
