"""What the tables of Kubernetes mean, for rules and charts alike: how containers ended, why pods wait, what a rollout changed.

Pure functions of tables; they judge nothing.
"""
