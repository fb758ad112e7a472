"""The engine worker: a child process, and the only place that imports llama_cpp."""
