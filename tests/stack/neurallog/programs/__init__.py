"""The programs of the small NeuralLog. They run inside pods, and do what they say: nothing here pretends."""
