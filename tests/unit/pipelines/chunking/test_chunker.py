import pytest

from pipelines.chunking import CHUNKER_VERSION, Chunker
from pipelines.chunking.sentences import sentences
from pipelines.parsing import Block, ParsedDocument, Section


def prose(sentence_count, words_each=20, start=0):
    return " ".join(
        f"Sentence {start + number} " + "word " * (words_each - 3) + "ends."
        for number in range(sentence_count)
    )


def document(*sections, title="Title"):
    return ParsedDocument(
        title,
        tuple(Section(path, tuple(Block(kind, text) for kind, text in blocks)) for path, blocks in sections),
    )


def test_a_chunk_opens_with_title_and_headings(tokenizer):
    [chunk] = Chunker(tokenizer).chunk(
        document((("One", "Two"), [("paragraph", "Body."), ("code", "x = 1")]))
    )
    assert chunk.text == "Title\nOne > Two\n\nBody.\n\nx = 1"
    assert chunk.heading_path == ("One", "Two")
    assert chunk.tokens == tokenizer.count([chunk.text])[0]


@pytest.mark.parametrize(
    ("title", "path", "text"),
    [
        ("Title", ("title ", "Part"), "Title\nPart\n\nBody."),
        ("Title", ("Title",), "Title\n\nBody."),
        ("Title", (), "Title\n\nBody."),
        ("", ("Part",), "Part\n\nBody."),
        ("", (), "Body."),
    ],
)
def test_the_title_is_not_repeated_and_nothing_stands_for_none(tokenizer, title, path, text):
    chunks = Chunker(tokenizer).chunk(document((path, [("paragraph", "Body.")]), title=title))
    assert [chunk.text for chunk in chunks] == [text]


def test_a_heading_with_nothing_under_it_is_still_said(tokenizer):
    chunks = Chunker(tokenizer).chunk(document((("Alone",), [])))
    assert [chunk.text for chunk in chunks] == ["Title\nAlone"]


def test_small_siblings_share_a_chunk_under_their_parent(tokenizer):
    chunks = Chunker(tokenizer).chunk(
        document(
            (("A",), [("paragraph", "Of A.")]),
            (("A", "B"), [("paragraph", "Of B.")]),
            (("A", "C"), []),
            (("A", "D"), [("list", "- x")]),
            (("E",), [("paragraph", "Of E.")]),
        )
    )
    assert [chunk.text for chunk in chunks] == [
        "Title\nA\n\nOf A.\n\nB\nOf B.\n\nC\n\nD\n- x",
        "Title\nE\n\nOf E.",
    ]


def test_sections_that_are_not_small_never_share_a_chunk(tokenizer):
    chunks = Chunker(tokenizer).chunk(
        document((("A",), [("paragraph", prose(4))]), (("B",), [("paragraph", prose(1))]))
    )
    assert [chunk.heading_path for chunk in chunks] == [("A",), ("B",)]


def test_small_sections_share_chunks_up_to_the_limit(tokenizer):
    sections = [(("P", f"S{number}"), [("paragraph", prose(2))]) for number in range(20)]
    chunks = Chunker(tokenizer).chunk(document(*sections))
    assert 3 < len(chunks) < 10
    assert all(chunk.heading_path == ("P",) for chunk in chunks)
    assert sum(chunk.text.count("Sentence 0 ") for chunk in chunks) == 20


def test_blocks_stay_whole_where_they_fit(tokenizer):
    blocks = [prose(5, start=10 * number) for number in range(6)]
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", text) for text in blocks])))
    for text in blocks:
        assert sum(text in chunk.text for chunk in chunks) == 1


def test_a_long_paragraph_is_cut_between_sentences(tokenizer):
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", prose(40))])))
    assert len(chunks) == 4
    for chunk in chunks:
        body = chunk.text.removeprefix("Title\n\n")
        assert body.startswith("Sentence ")
        assert body.endswith("ends.")
    assert all(chunk.tokens > 180 for chunk in chunks[:-1])


def test_a_tail_that_would_be_tiny_is_balanced_with_the_chunk_before(tokenizer):
    room = 256 - tokenizer.count(["Title"])[0]
    each = tokenizer.count([prose(1)])[0] - 2
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", prose(room // each + 1))])))
    assert len(chunks) == 2
    assert abs(chunks[0].tokens - chunks[1].tokens) <= 2 * each


def test_code_is_cut_between_lines_and_keeps_its_indentation(tokenizer):
    lines = [f"    value_{number} = compute({number}, other={number})" for number in range(80)]
    chunks = Chunker(tokenizer).chunk(document(((), [("code", "def f():\n" + "\n".join(lines))])))
    assert len(chunks) > 3
    found = [line for chunk in chunks for line in chunk.text.split("\n")[2:]]
    assert found == ["def f():", *lines]


def test_a_table_is_cut_between_rows_and_repeats_its_first(tokenizer):
    rows = [f"row {number} | {number * 7} | some longer cell of words" for number in range(60)]
    chunks = Chunker(tokenizer).chunk(
        document(((), [("table", "\n".join(["Name | Value | Remark", *rows]))]))
    )
    assert len(chunks) > 2
    bodies = [chunk.text.removeprefix("Title\n\n").split("\n") for chunk in chunks]
    assert all(body[0] == "Name | Value | Remark" for body in bodies)
    assert [row for body in bodies for row in body[1:]] == rows


def test_a_word_of_ten_thousand_characters_is_cut(tokenizer):
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", "Before. " + "x" * 10_000 + " after.")])))
    assert len(chunks) >= 3
    assert max(len(chunk.text) for chunk in chunks) < 4500
    assert "".join(chunk.text.removeprefix("Title\n\n") for chunk in chunks).count("x") == 10_000


def test_a_long_context_is_cut_to_a_third_of_the_budget(tokenizer):
    title = "Remarkably long title of a document " * 40
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", prose(30))]), title=title))
    for chunk in chunks:
        context, _, _ = chunk.text.partition("\n\n")
        assert title.startswith(context)
        assert 60 < tokenizer.count([context])[0] - 2 <= (256 - 2) // 3


def test_an_abstract_is_one_or_two_chunks_of_title_and_text(tokenizer):
    title = "A title such as a paper has"
    short, long = prose(9), prose(16)
    [chunk] = Chunker(tokenizer).chunk(document(((), [("paragraph", short)]), title=title))
    assert chunk.text == f"{title}\n\n{short}"
    chunks = Chunker(tokenizer).chunk(document(((), [("paragraph", long)]), title=title))
    assert len(chunks) == 2
    assert " ".join(chunk.text.removeprefix(f"{title}\n\n") for chunk in chunks) == long


def test_work_is_linear_in_the_length(tokenizer):
    class Counting:
        name, special_tokens = tokenizer.name, tokenizer.special_tokens
        characters = 0

        def count(self, texts):
            self.characters += sum(map(len, texts))
            return tokenizer.count(texts)

        def spans(self, text):
            self.characters += len(text)
            return tokenizer.spans(text)

    texts = [prose(200), "word " * 6_000, "x" * 50_000, "line of a log file\n" * 1_500, "- \n" * 4_000]
    for text in texts:
        for kind in ("paragraph", "list", "code", "table", "quote"):
            counting = Counting()
            Chunker(counting).chunk(document(((), [(kind, text)])))
            assert counting.characters < 5 * len(text) + 10_000, (kind, text[:20])


def test_a_limit_without_room_is_refused(tokenizer):
    with pytest.raises(ValueError, match="at least 16"):
        Chunker(tokenizer, 15)


def test_the_version_names_the_tokenizer_library():
    assert "tokenizers=" in CHUNKER_VERSION


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("The first sentence is here. The second one is there.", 2),
        ("It was shown by Smith et al. Nature of it is unknown.", 1),
        ("As seen in Fig. 3 it rises, e.g. Here and there too.", 1),
        ("It was proposed by J. R. R. Tolkien and others.", 1),
        ("This value is about 3.14 or so it seems to be.", 1),
        ("What is it that we want to know? Nobody knows it now!", 2),
        ('He said "this is the very end." Then he left us all.', 2),
        ("The gene p53 was found there. p53 is lower-case here.", 1),
        ("这是第一个句子它应该足够长以便被分开来看待吧。这是第二个句子它也是足够长的句子哦。", 2),
    ],
)
def test_sentences(text, parts):
    found = list(sentences(text))
    assert len(found) == parts
    assert "".join(separator + sentence for separator, sentence in found) == text
