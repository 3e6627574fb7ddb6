"""How an answer reaches its reader: report, notebook, terminal, and what the guide asks for."""
