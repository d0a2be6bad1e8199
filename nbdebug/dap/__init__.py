"""The Debug Adapter Protocol over the engine: messages, requests, sessions."""
