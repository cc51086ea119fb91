"""The SDK in other shapes: the older AksEndpoint."""
