"""The official SDK as client and worker against `millrace dev` as a process."""
