"""Signs people in by an identity provider that speaks OpenID Connect, found by its discovery document."""
