"""One file or folder a protocol; each turns it into scans, and commands into writes. See CONTRIBUTING.md."""
