"""The production engine on stand-ins, under one seed."""
