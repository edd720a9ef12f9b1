"""The server. Knows neither click nor pluggy: it is handed settings and classes, and serves."""
