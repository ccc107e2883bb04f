"""Kubernetes' runtime interface: pods, their containers and images."""
