"""Tables that people really send, CSV or XLSX: read strictly, each bad row named, nothing guessed in silence."""
