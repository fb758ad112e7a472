"""Model weights on this computer. Where to look:

- which model answers, and holding it: `service`, `loading` (settings from free memory), `fit`,
  `residency` (unloading), `embedding`;
- what a file is: `gguf` (parsed in a child, `header_process`), `facts`, `installed` (what is here, its SQL);
- what can be got: `catalogue` (its file and signature: `catalogue_file`), `outlook` (fit and speed before
  a download), `speed`;
- fetching: `pull` (the queue; its SQL in `pulls`), `puller` (the process as the app sees it), `hub` (the
  process itself, the only one that connects), `connection`, `repository`;
- keeping house: `library` (list, verify, remove with undo, move, import), `links` and `elsewhere` (files
  of other programs), `sideload`, `trial`.
"""
