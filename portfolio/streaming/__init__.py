"""The parts of the stream process: threads, one writer and one watcher an account, prices, sharing."""
