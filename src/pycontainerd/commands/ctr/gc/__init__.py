"""The commands on the collector; containerd's own ctr has none."""
