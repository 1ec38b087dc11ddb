"""Resumable uploads: files that come in pieces and survive a cut line, a reload and a server that died."""
