"""`ctr oci`."""
