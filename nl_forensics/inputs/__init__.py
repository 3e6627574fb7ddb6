"""What is asked (the incident), and where things are (the platform, the parameter file)."""
