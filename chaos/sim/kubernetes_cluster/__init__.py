"""The rest of a fake cluster: the API server's socket, controllers, and a toy kubelet."""
