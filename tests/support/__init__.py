"""What the tests share: a server that answers as Polygon documents, bars for it, cassettes."""
