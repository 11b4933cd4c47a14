"""One booking: prepare, admit, append, fold, write; the hash chain; the book as of a moment."""
