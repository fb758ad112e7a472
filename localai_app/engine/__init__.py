"""The engine: a llama.cpp worker process and the client that feeds it."""
