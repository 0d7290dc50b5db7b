"""`sled serve` as a voice of agent frameworks. Each module needs the framework of its name.

They know the messages of the server only, so that an agent does not load a model.
"""
