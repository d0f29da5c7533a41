"""One model for several processes of this machine: `server.py` owns it, `client.py` starts the server and asks it."""
