//! Layers of podman's own stores, which are the judge.
