"""Facts derived from tables of Kubernetes, for rules and charts: terminations, pending pods, changes of a rollout.

Pure functions of tables; they judge nothing.
"""
