"""labelme: our network among its AI models."""
