"""Where a study is stored: journal file or database."""
