"""The book: positions as an exact fold of immutable entries. Pure: standard library only.
"""
