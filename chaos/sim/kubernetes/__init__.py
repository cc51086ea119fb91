"""A fake Kubernetes API server over real HTTP, held to exchanges recorded from a real one.

`server` listens, `api` decides, `store` remembers. `controllers` and `kubelet` are the two parts of
a cluster that the router cannot do without: they make pods of Deployments, and run them as
processes of this machine. What was compared with a real server, and what was left out and why,
stands in `tests/k8s/test_recorded.py`.
"""
