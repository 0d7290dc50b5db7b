"""The model: configuration, layout, backbone, heads."""
