"""How the fake shows what it has: forms that clients ask for, discovery, OpenAPI, scales."""
