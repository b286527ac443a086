"""What members and admins see: one module a feature. Thin: parse, ask the service, word the answer."""
