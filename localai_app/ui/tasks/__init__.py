"""The Tasks page: what people do with documents, one or hundreds."""
