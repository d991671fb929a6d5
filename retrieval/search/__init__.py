"""Searching one tenant's generation: the query, the snapshot it sees, the fusion, the floor, the answer."""
