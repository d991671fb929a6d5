"""The same ingestion work done by Holdfast and by what people use instead."""
