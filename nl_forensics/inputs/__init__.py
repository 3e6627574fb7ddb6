"""What is investigated (the incident), and the systems and their addresses (the platform, the parameter file)."""
