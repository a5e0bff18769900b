"""The domain: clients, imports of them, and what people and workers can ask for.

Its packages import each other downwards only (`[tool.importlinter]` in pyproject.toml; docs/architecture.md
has the picture). Knows neither the project's settings module, nor the workers, nor the local platform.
"""
