"""The lexical side: text to terms, terms to BM25 weights, and the oracle that holds them to account."""
