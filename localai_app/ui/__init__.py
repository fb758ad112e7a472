"""The window: the only room that imports PySide6. It talks to the services, never to SQL or the engine."""
